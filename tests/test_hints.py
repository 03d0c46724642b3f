"""What users of other libraries write first, and how the answer puts it right."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv

RNG = np.random.default_rng(23)


def draw(*shape: int, dtype: Any = np.float32) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), dtype)


X, K, B = draw(2, 3, 9, 8), draw(4, 3, 3, 2), draw(4)
UP = draw(3, 5, 3, 2)  # of conv_transpose
conv, conv_transpose = jaxconv.conv, jaxconv.conv_transpose

WORDS: dict[str, tuple[Callable[[], Any], str]] = {
    # Keras, Flax, Haiku, lax
    "strides": (lambda: conv(X, K, strides=(2, 1)), "Write stride=(2, 1)."),
    "window_strides": (lambda: conv(X, K, window_strides=2), "Write stride=2."),
    "data_format": (
        lambda: conv(X, K, data_format="NHWC"),
        "data_format='NHWC': is called layout in conv. Write layout=\"channels_last\".",
    ),
    "dimension_numbers": (
        lambda: conv(X, K, dimension_numbers=("NCHW", "OIHW", "NCHW")),
        'Write layout="channels_first".',
    ),
    "feature_group_count": (
        lambda: conv(X, K, feature_group_count=3),
        "Write groups=3.",
    ),
    "kernel_dilation": (lambda: conv(X, K, kernel_dilation=2), "Write dilation=2."),
    "rhs_dilation": (lambda: conv(X, K, rhs_dilation=(2, 1)), "dilation=(2, 1)."),
    "dilation_rate": (lambda: conv(X, K, dilation_rate=2), "Write dilation=2."),
    "lhs_dilation": (lambda: conv(X, K, lhs_dilation=2), "conv_transpose("),
    "transpose_kernel": (
        lambda: conv_transpose(X, UP, transpose_kernel=True),
        "the same kernel",
    ),
    "output_shape": (
        lambda: conv_transpose(X, UP, output_shape=(11, 9)),
        "Write output_size=(11, 9).",
    ),
    "weight": (lambda: conv(X, weight=K), "Write kernel=weight."),
    "misspelt": (lambda: conv(X, K, paddding=1), "Write padding=."),
    "unknown": (lambda: conv(X, K, activation="relu"), "It takes x, kernel, bias,"),
    "of a size": (
        lambda: jaxconv.conv_output_size(9, 3, strides=2),
        "Write stride=2.",
    ),
    "of deformable": (
        lambda: jaxconv.deform_conv(X, X, offsets=X, weight=K),
        "offsets=<array float32[2, 3, 9, 8]>: is called offset in deform_conv.",
    ),
    # PyTorch
    "by place": (
        lambda: conv(X, K, B, 2, 1),
        "Write conv(x, kernel, bias, stride=2, padding=1).",
    ),
    "by place without bias": (
        lambda: conv(X, K, (2, 1), 1, 1, 3),
        "Write conv(x, kernel, stride=(2, 1), padding=1, dilation=1, groups=3).",
    ),
    "by place transposed": (
        lambda: conv_transpose(X, UP, None, 2, 1, 1, 1, 2),
        "Write conv_transpose(x, kernel, bias, stride=2, padding=1, output_padding=1, "
        "groups=1, dilation=2).",
    ),
    "by place unfold": (
        lambda: jaxconv.unfold(X, 3, 1, 0, 2),
        "Write unfold(x, kernel_size, dilation=1, padding=0, stride=2).",
    ),
    "a stride for a bias": (
        lambda: conv(X, K, 2),
        "bias is an int, not an array. Options go by name, for example stride=2.",
    ),
    "a padding for a bias": (lambda: conv(X, K, "SAME"), "example padding='SAME'."),
    # words for padding
    "circular": (lambda: conv(X, K, padding="CIRCULAR"), 'padding_mode="circular"'),
    "reflect": (lambda: conv(X, K, padding="REFLECT"), 'padding_mode="reflect"'),
    "causal": (lambda: conv(X, K, padding="CAUSAL"), 'Write "causal".'),
    "edge": (lambda: conv(X, K, padding="edge"), 'padding_mode="replicate"'),
    "full": (lambda: conv(X, K, padding="FULL"), "dilation * (kernel - 1)"),
    # arrays
    "tuple": (lambda: conv(((1.0,),), K), "x is a tuple, not an array."),
    "none": (lambda: conv(None, K), "x is None, not an array."),
    "integers": (
        lambda: conv(X.astype(np.uint8), K),
        "x is uint8 and kernel is float32: operands must agree. "
        "Convert one, for example x.astype(kernel.dtype).",
    ),
    "narrow image": (
        lambda: conv(X.astype(jnp.bfloat16), K),
        "x.astype(kernel.dtype).",
    ),
    "two kinds of 16 bits": (
        lambda: conv(X.astype(jnp.bfloat16), K.astype(jnp.float16)),
        "Convert both, for example with .astype(jax.numpy.float32).",
    ),
    "bias of another size": (
        lambda: conv(X, K, draw(3)),
        "exactly shape (4,), one entry per output channel. Give it 4 entries",
    ),
    "bias to reshape": (lambda: conv(X, K, draw(4, 1, 1)), "Write bias.reshape(4)."),
    "exchanged": (lambda: conv(K, draw(2, 3, 9, 9)), "Or are x and kernel exchanged?"),
    "matrices": (lambda: conv(draw(9, 8), draw(3, 2)), "kernel[None, None]"),
    "an image without channels": (lambda: conv(draw(9, 8), K), "x[None]"),
    "a kernel without channels": (
        lambda: conv(X, draw(4, 3, 2)),
        "a kernel for 2 axes of space has 4 axes itself",
    ),
    # others
    "explain an array": (
        lambda: jaxconv.explain(X),
        "fn=<array float32[2, 3, 9, 8]>: is not callable.",
    ),
    "accelerate an array": (
        lambda: jaxconv.accelerate(X),
        "<array float32[2, 3, 9, 8]>",
    ),
    "cost of arrays": (
        lambda: jaxconv.cost(X, K),
        "x_shape=<array float32[2, 3, 9, 8]>: is an array, not a shape. "
        "Write its .shape.",
    ),
    "role": (
        lambda: inspect.unwrap(jaxconv.lowerings)("conv"),
        "Write 'output', its role.",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_the_answer_says_what_to_write(name: str) -> None:
    call, says = WORDS[name]
    with pytest.raises((TypeError, ValueError), match=re.escape(says)) as caught:
        call()
    text = str(caught.value)
    assert re.fullmatch(r"\S.*[^.]\. [A-Z].*[.?]", text), text
    assert len(text) < 400
    assert "\n" not in text


@pytest.mark.parametrize("shape", [(4, 3, 3, 2), (3, 2, 3, 3, 4)])
def test_a_mistake_is_not_called_an_exchange(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape") as caught:
        conv(draw(1, 2, 9, 9), draw(*shape))
    assert "exchanged" not in str(caught.value)


def test_tensors_of_pytorch_come_with_their_conversion() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not here")
    tensor = torch.ones(2, 3, 9, 8)
    kernel = torch.nn.Conv2d(3, 4, (3, 2)).weight
    for args, name, kind in (
        ((tensor, K), "x", "Tensor"),
        ((X, kernel), "kernel", "Parameter"),
        ((X, kernel.detach()), "kernel", "Tensor"),
    ):
        with pytest.raises(TypeError) as caught:
            conv(*args)
        written = f"jax.numpy.asarray({name}.detach().cpu().numpy())"
        wanted = f"{name} is a torch.{kind}, not an array of JAX. Write {written}."
        assert str(caught.value) == wanted
    scope = {"x": tensor, "kernel": kernel, "jax": jax}
    arrays = [
        eval(f"jax.numpy.asarray({n}.detach().cpu().numpy())", scope)
        for n in ("x", "kernel")
    ]
    wanted = torch.nn.functional.conv2d(tensor, kernel).detach().numpy()
    np.testing.assert_allclose(conv(*arrays), wanted, atol=1e-5)


NAMES = {
    **dict.fromkeys(["conv1d", "conv2d", "Conv3d", "Conv", "Conv2D"], "conv"),
    **dict.fromkeys(
        ["conv_transpose2d", "ConvTranspose", "Conv2DTranspose", "deconv"],
        "conv_transpose",
    ),
    "depthwise_conv2d": "depthwise_conv",
    "DeformConv2d": "deform_conv",
    "im2col": "unfold",
    "explan": "explain",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_other_libraries_lead_to_ours(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"Write jaxconv\.{NAMES[name]}[:.]"):
        getattr(jaxconv, name)
    assert not hasattr(jaxconv, name)


def test_modules_that_are_not_imported_yet() -> None:
    code = """if True:
        import jaxconv
        for name in ("equinox", "nnx", "viz"):
            try:
                getattr(jaxconv, name)
            except AttributeError as error:
                assert f"Write import jaxconv.{name} before." in str(error)
            else:
                raise AssertionError(name)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error_and_no_more() -> None:
    for name in ("__wrapped__", "qqqq"):
        with pytest.raises(AttributeError) as caught:
            getattr(jaxconv, name)
        assert "Write" not in str(caught.value)


def test_signatures_are_what_they_were_and_other_errors_pass() -> None:
    parameters = inspect.signature(conv).parameters
    assert list(parameters)[:4] == ["x", "kernel", "bias", "stride"]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        conv(X)

    class Broken:
        shape, dtype = (2, 3, 9, 8), np.dtype(np.float32)

        def __array__(self, *_: Any, **__: Any) -> Any:
            raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        conv(Broken(), K)


def test_a_tuple_of_ints_is_a_shape_to_summarize_and_explain() -> None:
    def model(x: Any) -> Any:
        return conv(x, K, stride=2)

    spec = jax.ShapeDtypeStruct((1, 3, 24, 22), np.float32)
    found = jaxconv.summarize(model, (1, 3, 24, 22))
    assert found.totals == jaxconv.summarize(model, spec).totals
    assert jaxconv.explain(model, (1, 3, 24, 22)) == jaxconv.explain(model, spec)


def test_no_array_is_printed_whole() -> None:
    for wrong in (np.zeros((500, 500)), [np.zeros((300, 300))] * 50):
        with pytest.raises(TypeError) as caught:
            conv(X, K, stride=wrong)
        assert len(str(caught.value)) < 400
    with pytest.raises(TypeError, match="'short'"):
        conv(X, K, stride=SimpleNamespace(word="short"))
