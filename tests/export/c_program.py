"""One program of the C code of many models."""

import subprocess
from typing import NamedTuple

import numpy as np

from ncps.export import to_c

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
OURS = (
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wshadow",
    "-Wvla",
    "-Wcast-qual",
)  # of exported code, if not of the driver
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
{includes}

static float input[{widest}], output[{widest}];

{functions}
int main(int count, char **argument)
{{
    static void (*const run[])(void) = {{{names}}};
    return count == 2 ? (run[atoi(argument[1])](), 0) : 1;
}}
"""
FUNCTION = """
static void run_{name}(void)
{{
    {name}_state state;
    float timespan;
    {name}_reset(&state);
    while (fread(&timespan, sizeof timespan, 1, stdin) == 1 && fread(input, 4 * {name_upper}_INPUTS, 1, stdin) == 1) {{
        {name}_step(&state, input, timespan, output);
        fwrite(output, 4, {name_upper}_OUTPUTS, stdout);
    }}
}}
"""


class Program(NamedTuple):
    path: str

    def outputs(self, index, inputs, times):
        """What model number `index` puts out for a series."""
        steps = np.concatenate([times[:, None], inputs], axis=1).astype(np.float32)
        done = subprocess.run([self.path, str(index)], input=steps.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return np.frombuffer(done.stdout, np.float32).reshape(len(inputs), -1)


def compiled(models, folder, *flags, **options):
    """The program of models, compiled by one call of the compiler."""
    codes = [to_c(model, folder, name=f"model_{i}", **options) for i, model in enumerate(models)]
    names = [code.name for code in codes]
    functions = [FUNCTION.format(name=name, name_upper=name.upper()) for name in names]
    includes = "\n".join(f'#include "{name}.h"' for name in names)
    pointers = ", ".join(f"run_{name}" for name in names)
    driver = folder / "driver.c"
    driver.write_text(DRIVER.format(includes=includes, functions="".join(functions), names=pointers, widest=512))
    sources = [str(file) for code in codes for file in code.files if file.suffix == ".c"]
    program = folder / "program"
    command = ["cc", *FLAGS, *flags, "-o", str(program), str(driver), *sources, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Program(str(program))
