"""Programs as users wrote them after the documentation of ncps 1.0.1, unchanged but for smaller sizes and no screen."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _same_weights_each_time():
    import ncps

    ncps.set_seed(0)
    torch.manual_seed(0)


def sines(steps=24):
    """A sine and a cosine as inputs, a sine of twice the frequency as target, each (1, steps, features)."""
    x = np.stack([np.sin(np.linspace(0, 3 * np.pi, steps)), np.cos(np.linspace(0, 3 * np.pi, steps))], axis=1)
    y = np.sin(np.linspace(0, 6 * np.pi, steps)).reshape([1, steps, 1])
    return np.expand_dims(x, axis=0).astype(np.float32), y.astype(np.float32)


def fitted(model, x, y, epochs=30, lr=0.02):
    """The losses of a plain training loop over a model that returns a pair."""
    import torch.nn as nn

    optimizer, losses = torch.optim.Adam(model.parameters(), lr=lr), []
    for _ in range(epochs):
        optimizer.zero_grad()
        y_hat, _ = model.forward(x)
        loss = nn.MSELoss()(y_hat.view_as(y), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_fit_a_sine_and_draw_the_wiring():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    from ncps.torch import LTC
    from ncps.wirings import AutoNCP

    torch.manual_seed(0)
    x, y = map(torch.Tensor, sines())
    wiring = AutoNCP(16, 1)
    ltc_model = LTC(2, wiring, batch_first=True)
    plt.figure(figsize=(6, 4))
    legend_handles = wiring.draw_graph(draw_labels=True, neuron_colors={"command": "tab:cyan"})
    plt.legend(handles=legend_handles, loc="upper center", bbox_to_anchor=(1, 1))
    plt.close()
    labels = [handle.get_label() for handle in legend_handles]
    assert sorted(labels) == ["Command neurons", "Inter neurons", "Motor neurons", "Sensory neurons"]
    losses = fitted(ltc_model, x, y)
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        prediction = ltc_model(x)[0].numpy()
    assert prediction.shape == (1, 24, 1)


def test_an_ncp_by_its_numbers_with_a_loop_over_the_cell():
    from torch import nn

    import ncps
    from ncps.torch import LTCCell

    class RNNSequence(nn.Module):
        def __init__(self, rnn_cell):
            super().__init__()
            self.rnn_cell = rnn_cell

        def forward(self, x):
            hidden_state = torch.zeros((x.size(0), self.rnn_cell.state_size), device=x.device)
            outputs = []
            for t in range(x.size(1)):
                new_output, hidden_state = self.rnn_cell.forward(x[:, t], hidden_state)
                outputs.append(new_output)
            return torch.stack(outputs, dim=1), hidden_state

    torch.manual_seed(0)
    wiring = ncps.wirings.NCP(
        inter_neurons=8,
        command_neurons=4,
        motor_neurons=1,
        sensory_fanout=4,
        inter_fanout=3,
        recurrent_command_synapses=4,
        motor_fanin=3,
    )
    model = RNNSequence(LTCCell(wiring, 2))
    losses = fitted(model, *map(torch.Tensor, sines(12)), epochs=12)
    model.rnn_cell.apply_weight_constraints()
    assert losses[-1] < losses[0]


def test_implicit_parameters():
    import ncps
    from ncps.torch import LTCCell

    wiring = ncps.wirings.FullyConnected(8, 1)
    ltc_cell = LTCCell(wiring, 2, implicit_param_constraints=True)
    x, _ = sines(4)
    output, hidden = ltc_cell(torch.Tensor(x[:, 0]), torch.zeros(1, ltc_cell.state_size))
    output.sum().backward()
    assert hidden.shape == (1, 8)
    assert all(p.grad is not None for p in ltc_cell.parameters())


def test_save_and_load_weights(tmp_path):
    from ncps.torch import CfC
    from ncps.wirings import AutoNCP

    x, _ = sines()
    model = CfC(2, AutoNCP(12, 1), mixed_memory=True)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    again = CfC(2, AutoNCP(12, 1), mixed_memory=True)
    again.load_state_dict(torch.load(tmp_path / "model.pt"))
    torch.testing.assert_close(again(torch.Tensor(x)), model(torch.Tensor(x)))


def test_stacking():
    from torch import nn

    from ncps.torch import LTC, CfC
    from ncps.wirings import AutoNCP

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            wiring = AutoNCP(10, 3)
            self.first = LTC(2, wiring)
            self.second = CfC(3, AutoNCP(10, 1))

        def forward(self, x):
            x, _ = self.first(x)
            return self.second(x)

    losses = fitted(Stack(), *map(torch.Tensor, sines(10)), epochs=8)
    assert losses[-1] < losses[0]


class ConvBlock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(4, 8, 5, padding=2, stride=2)
        self.conv2 = torch.nn.Conv2d(8, 16, 5, padding=2, stride=2)
        self.norm = torch.nn.BatchNorm1d(16)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.norm(x.mean((-1, -2)))


class ConvCfC(torch.nn.Module):
    """Behaviour cloning of Atari games, as in the tutorial."""

    def __init__(self, n_actions):
        from ncps.torch import CfC

        super().__init__()
        self.conv_block = ConvBlock()
        self.rnn = CfC(16, 12, batch_first=True, proj_size=n_actions)

    def forward(self, x, hx=None):
        batch_size, seq_len = x.size(0), x.size(1)
        x = self.conv_block(x.view(batch_size * seq_len, *x.shape[2:]))
        return self.rnn(x.view(batch_size, seq_len, *x.shape[1:]), hx)


def test_behaviour_cloning_of_games(tmp_path):
    from ncps.datasets.torch import AtariCloningDataset

    with pytest.raises(FileNotFoundError, match=r"ncps does not download data. Get https://.*breakout.zip"):
        AtariCloningDataset("breakout", split="train", root_dir=str(tmp_path))
    rng, folder = np.random.default_rng(0), tmp_path / "data_atari_seq" / "breakout"
    folder.mkdir(parents=True)
    for i in range(2):
        frames = rng.integers(0, 255, (5, 16, 16, 4), dtype=np.uint8)
        np.savez(folder / f"train_{i}.npz", obs=frames, actions=rng.integers(0, 3, 5))
    with pytest.raises(RuntimeError, match=r"Could not find data: expected files val_\*\.npz in .*breakout"):
        AtariCloningDataset("breakout", split="val", root_dir=str(tmp_path))
    train_ds = AtariCloningDataset("breakout", split="train", root_dir=str(tmp_path))
    trainloader = torch.utils.data.DataLoader(train_ds, batch_size=2, shuffle=True)
    model, criterion = ConvCfC(n_actions=3), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        for inputs, labels in trainloader:
            optimizer.zero_grad()
            outputs, _ = model(inputs)
            loss = criterion(outputs.reshape(-1, *outputs.shape[2:]), labels.view(-1, *labels.shape[2:]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0]
    model.eval()
    hx = None
    with torch.no_grad():  # closed loop
        for _ in range(3):
            pred, hx = model(torch.rand(1, 1, 4, 16, 16), hx)
            assert 0 <= pred.squeeze(0).squeeze(0).argmax().item() < 3


def test_games_of_tensorflow(tmp_path):
    pytest.importorskip("tensorflow")
    from ncps.datasets.tf import AtariCloningDatasetTF

    rng, folder = np.random.default_rng(0), tmp_path / "data_atari_seq" / "breakout"
    folder.mkdir(parents=True)
    with pytest.raises(RuntimeError, match=r"expected files train_\*\.npz and val_\*\.npz in .*breakout"):
        AtariCloningDatasetTF("breakout", str(tmp_path))
    frames, actions = rng.integers(0, 255, (32, 84, 84, 4), dtype=np.uint8), rng.integers(0, 3, 32)
    for split in ("train", "val"):
        np.savez(folder / f"{split}_0.npz", obs=frames, actions=actions)
    data = AtariCloningDatasetTF("breakout", str(tmp_path))
    with pytest.raises(ValueError, match="Invalid split 'test', must be either 'train' or 'val'"):
        data.get_dataset(1, "test")
    for split in ("train", "val"):
        ((x, y),) = data.get_dataset(1, split)
        np.testing.assert_array_equal(x[0], frames)
        np.testing.assert_array_equal(y[0], actions)


def test_lidar_data(tmp_path):
    import ncps

    load_data = ncps.datasets.icra2020_lidar_collision_avoidance.load_data
    with pytest.raises(FileNotFoundError, match="yourself, and put it at"):
        load_data(str(tmp_path / "missing.npz"))
    rng = np.random.default_rng(0)
    arrays = {f"{n}_{i}": rng.normal(size=(40, 6) if n == "x" else (40,)) for n in "xy" for i in range(29)}
    np.savez(tmp_path / "lidar.npz", **arrays)
    (x_train, y_train), (x_valid, y_valid) = load_data(str(tmp_path / "lidar.npz"), seq_len=16)
    assert (x_train.shape, y_train.shape) == ((22 * 2 * 3, 16, 6, 1), (22 * 2 * 3, 16, 1))
    assert (x_valid.shape, y_valid.shape) == ((7 * 2 * 3, 16, 6, 1), (7 * 2 * 3, 16, 1))
    with pytest.raises(FileNotFoundError, match="ncps does not download data"):
        ncps.datasets.utils.download_and_unzip("https://example.org/x.zip")


def test_paddle_is_told():
    with pytest.raises(ImportError, match=r"Use ncps.torch, or ncps.layers, on torch"):
        import ncps.paddle  # noqa: F401


def test_wirings_stand_where_they_stood():
    from ncps import wirings
    from ncps.wirings.wirings import NCP, AutoNCP, FullyConnected, Random, Wiring

    assert (wirings.wirings.NCP, NCP) == (wirings.NCP, wirings.NCP)
    assert AutoNCP(8, 2).get_config() == {"units": 8, "output_size": 2, "sparsity_level": 0.5, "seed": 22222}
    for wiring in (FullyConnected(4, 2), Random(4, 2, 0.5), Wiring(3)):
        assert not wiring.is_built()
        wiring.build(3)
        assert wiring.is_built()
        assert wiring.erev_initializer().shape == (wiring.units, wiring.units)


def test_importing_ncps_imports_no_framework():
    import subprocess
    import sys

    code = "import sys, ncps; print([n for n in ('torch', 'keras', 'tensorflow', 'jax', 'mlx') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# ---- Keras


def test_keras_fit_bidirectional_and_infer_states():
    keras = pytest.importorskip("keras")
    from ncps.keras import LTCCell
    from ncps.wirings import FullyConnected

    if keras.backend.backend() == "numpy":
        pytest.skip("Keras does not train on NumPy")
    data_x, data_y = sines(8)
    model = keras.models.Sequential(
        [
            keras.layers.InputLayer(shape=(None, 2)),
            keras.layers.Bidirectional(keras.layers.RNN(LTCCell(FullyConnected(8, 1)))),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mean_squared_error")
    model.fit(x=data_x, y=data_y[:, -1], batch_size=1, epochs=2, verbose=0)

    rnn_cell = LTCCell(FullyConnected(8, 4))
    dense1, dense2 = keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(1)
    inputs = keras.Input(shape=(None, 2))
    x = keras.layers.RNN(rnn_cell, return_sequences=True)(dense1(inputs))
    trainable_model = keras.Model(inputs, dense2(x))
    trainable_model.compile(optimizer=keras.optimizers.Adam(0.01), loss=keras.losses.MeanSquaredError())
    trainable_model.fit(x=data_x, y=data_y, batch_size=1, epochs=1, verbose=0)
    inputs_single, inputs_state = keras.Input(shape=(2,)), keras.Input(shape=(rnn_cell.state_size,))
    _, output_states = rnn_cell(dense1(inputs_single), inputs_state)
    single_step_model = keras.Model([inputs_single, inputs_state], output_states)
    hidden = keras.ops.zeros((1, rnn_cell.state_size))
    hidden_states = [hidden]
    for t in range(3):
        hidden = keras.ops.reshape(single_step_model([keras.ops.convert_to_tensor(data_x[:, t]), hidden]), (1, 8))
        hidden_states.append(hidden)
    assert keras.ops.stack(hidden_states, axis=1).shape == (1, 4, 8)
