"""Functions of C that the layers share. Only those that a model needs are written into its file, in this order.

``$name`` is filled in: a weight of float stands as it is, one of int8 with its scale.
"""

from __future__ import annotations

from typing import NamedTuple


class Helper(NamedTuple):
    """A function of C, and those that it calls."""

    text: str
    needs: tuple[str, ...] = ()


def elementwise(comment: str, name: str, expression: str, needs: tuple[str, ...] = ()) -> Helper:
    """A function that changes every element of a vector."""
    text = f"""
/* {comment} */
static void {name}(float *x, int size)
{{
    for (int i = 0; i < size; ++i)
        x[i] = {expression};
}}
"""
    return Helper(text, needs)


HELPERS: dict[str, Helper] = {
    "sigmoid": Helper("""
/* The logistic function; neither branch overflows. */
static float sigmoid(float x)
{
    const float e = expf(x < 0.0f ? x : -x);
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
"""),
    "apply_relu": elementwise("max(x, 0); NaN stays", "apply_relu", "x[i] < 0.0f ? 0.0f : x[i]"),
    "apply_sigmoid": elementwise("The logistic function.", "apply_sigmoid", "sigmoid(x[i])", ("sigmoid",)),
    "apply_tanh": elementwise("tanh(x)", "apply_tanh", "tanhf(x[i])"),
    "apply_lecun_tanh": elementwise("1.7159 tanh(0.666 x)", "apply_lecun_tanh", "1.7159f * tanhf(0.666f * x[i])"),
    "apply_softplus": elementwise(
        "log(1 + exp(x)), which does not overflow",
        "apply_softplus",
        "(x[i] < 0.0f ? 0.0f : x[i]) + log1pf(expf(x[i] < 0.0f ? x[i] : -x[i]))",
    ),
    "apply_silu": elementwise("x sigmoid(x)", "apply_silu", "x[i] * sigmoid(x[i])", ("sigmoid",)),
    "apply_gelu": elementwise(
        "x times the normal distribution function, by tanh",
        "apply_gelu",
        "0.5f * x[i] * (1.0f + tanhf(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i])))",
    ),
    "apply_gelu_exact": elementwise(
        "x times the normal distribution function",
        "apply_gelu_exact",
        "0.5f * x[i] * (1.0f + erff(0.7071067812f * x[i]))",
    ),
    "apply_elu": elementwise("x, or exp(x) - 1 below 0", "apply_elu", "x[i] > 0.0f ? x[i] : expm1f(x[i])"),
    "apply_leaky_relu": elementwise("x, or 0.2 x below 0", "apply_leaky_relu", "x[i] < 0.0f ? 0.2f * x[i] : x[i]"),
    "apply_exp": elementwise("exp(x)", "apply_exp", "expf(x[i])"),
    "apply_softmax": Helper("""
/* exp(x) over the sum of all exp(x), the largest of which is 1. */
static void apply_softmax(float *x, int size)
{
    float top = x[0], sum = 0.0f;
    for (int i = 1; i < size; ++i)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < size; ++i)
        sum += x[i] = expf(x[i] - top);
    for (int i = 0; i < size; ++i)
        x[i] /= sum;
}
"""),
    "normalize": Helper("""
/* y = (x - mean) / sqrt(variance + epsilon) gamma + beta */
static void normalize(const float *x, const float *scale, const float *shift, float epsilon, int size, float *y)
{
    float mean = 0.0f, variance = 0.0f;
    for (int i = 0; i < size; ++i)
        mean += x[i];
    mean /= (float)size;
    for (int i = 0; i < size; ++i) {
        y[i] = x[i] - mean;
        variance += y[i] * y[i];
    }
    variance /= (float)size;
    for (int i = 0; i < size; ++i)
        y[i] = y[i] / sqrtf(variance + epsilon) * scale[i] + shift[i];
}
"""),
    "copy": Helper("""
/* to = from */
static void copy(float *to, const float *from, int size)
{
    for (int i = 0; i < size; ++i)
        to[i] = from[i];
}
"""),
    "affine": Helper("""
/* y = b + W x, the rows of W one after the other; b may be y. Four sums at once, as none waits for another. */
static void affine(const weight *w,${scale_parameter} const float *b, const float *x, int inputs, float *y, int outputs)
{
    for (int i = 0; i < outputs; ++i, w += inputs) {
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        int j = 0;
        for (; j + 3 < inputs; j += 4) {
            s0 += ${cast}w[j] * x[j];
            s1 += ${cast}w[j + 1] * x[j + 1];
            s2 += ${cast}w[j + 2] * x[j + 2];
            s3 += ${cast}w[j + 3] * x[j + 3];
        }
        for (; j < inputs; ++j)
            s0 += ${cast}w[j] * x[j];
        y[i] = b[i] + ${scale}((s0 + s1) + (s2 + s3));
    }
}
"""),
    "wired": Helper("""
/* y = b + W x over the synapses that exist: their sources and weights, those of the first neuron first. */
static void wired(int neurons, const place *fan_in, const place *source, const weight *w,${scale_parameter}
                  const float *b, const float *x, float *y)
{
    for (int i = 0, k = 0; i < neurons; ++i) {
        float sum = 0.0f;
        for (int n = (int)fan_in[i]; n > 0; --n, ++k)
            sum += ${cast}w[k] * x[source[k]];
        y[i] = b[i] + ${scale}sum;
    }
}
"""),
    "conduct": Helper(
        """
/* Every synapse conducts s = w sigmoid(sigma (v - mu)) into its target; sums of s erev and of s are added. */
static void conduct(int neurons, const place *fan_in, const place *source, const weight *sigma, const weight *mu,
                    const weight *w, const weight *erev,${scales_parameter} const float *v, float *current,
                    float *conductance)
{
    for (int i = 0, k = 0; i < neurons; ++i) {
        for (int n = (int)fan_in[i]; n > 0; --n, ++k) {
            const float drive = $sigma * (v[source[k]] - $mu);
            const float s = $w * sigmoid(drive);
            current[i] += s * $erev;
            conductance[i] += s;
        }
    }
}
""",
        ("sigmoid",),
    ),
    "memory": Helper(
        """
/* One step of a long short-term memory c with the gates i, f, g, o side by side; m is what it puts out. */
static void memory(int units, const float *gates, float *c, float *m)
{
    for (int i = 0; i < units; ++i) {
        c[i] = sigmoid(gates[units + i]) * c[i] + sigmoid(gates[i]) * tanhf(gates[2 * units + i]);
        m[i] = sigmoid(gates[3 * units + i]) * tanhf(c[i]);
    }
}
""",
        ("sigmoid",),
    ),
    "cfc_default": Helper(
        """
/* h = (1 - s) f + s g, with the gate s = sigmoid(a t + b) */
static void cfc_default(int units, const float *heads, float t, float *h)
{
    const float *f = heads, *g = f + units, *a = g + units, *b = a + units;
    for (int i = 0; i < units; ++i)
        h[i] = f[i] + sigmoid(a[i] * t + b[i]) * (g[i] - f[i]);
}
""",
        ("sigmoid",),
    ),
    "cfc_no_gate": Helper(
        """
/* h = f + s g, with s = sigmoid(a t + b) */
static void cfc_no_gate(int units, const float *heads, float t, float *h)
{
    const float *f = heads, *g = f + units, *a = g + units, *b = a + units;
    for (int i = 0; i < units; ++i)
        h[i] = f[i] + sigmoid(a[i] * t + b[i]) * g[i];
}
""",
        ("sigmoid",),
    ),
    "cfc_pure": Helper("""
/* h = A - A exp(-t (|w| + |f|)) f */
static void cfc_pure(int units, const float *f, const float *w, const float *A, float t, float *h)
{
    for (int i = 0; i < units; ++i)
        h[i] = A[i] - A[i] * expf(-t * (fabsf(w[i]) + fabsf(f[i]))) * f[i];
}
"""),
}
