"""The Swin transformer against timm's, its stochastic depth, and what a module must be able to do."""

import copy
import pickle
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from timm.models.swin_transformer import SwinTransformer as TimmSwin

from datasets.masks.maps import MaskTransform
from datasets.masks.mask_input import MaskInput
from models.config import ModelConfig
from models.encoders.swin import SWIN_SIZES, SwinEncoder
from models.encoders.swin_keys import to_native_names
from models.sem2nerf import Sem2NeRF

# windows that fit (224), a feature map smaller than a window (32), a padded one (64: 8 x 8 positions; 96; 256)
CASES = [("SwinEncoderNano", 32), ("SwinEncoderNano", 64), ("SwinEncoderNano", 96), ("SwinEncoderNano", 224),
         ("SwinEncoder", 64), pytest.param("SwinEncoder", 256, marks=pytest.mark.slow)]


def timm_swin(encoder_type: str, input_nc: int, input_size: int, out_dim: int) -> TimmSwin:
    """timm's network of that size, without its own stochastic depth, with seeded weights."""
    size = SWIN_SIZES[encoder_type]
    swin = TimmSwin(img_size=input_size, patch_size=size.patch_size, in_chans=input_nc, num_classes=out_dim,
                    window_size=7, embed_dim=size.embed_dim, depths=size.depths, num_heads=size.num_heads,
                    drop_path_rate=0)
    generator = torch.Generator().manual_seed(0)
    for parameter in swin.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return swin


def ours(swin: TimmSwin, encoder_type: str, input_nc: int, input_size: int, out_dim: int) -> SwinEncoder:
    encoder = SwinEncoder(encoder_type, input_nc, input_size, out_dim)
    encoder.load_state_dict(to_native_names(swin.state_dict()))
    return encoder


def masks(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 5, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("encoder_type, size", CASES)
def test_the_encoder_is_timms(encoder_type, size):
    """Outputs and every gradient bit by bit; with timm's convolution of the patches, whose sums run in another order,
    the outputs to 1e-5."""
    swin = timm_swin(encoder_type, 5, size, 7)
    encoder = ours(swin, encoder_type, 5, size, 7)
    x = masks(size)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), swin(x), rtol=0, atol=1e-5)
    swin.patch_embed = copy.deepcopy(encoder.patch_embed)
    outputs = [network(x) for network in (encoder, swin)]
    assert outputs[0].std() > 0.01
    assert torch.equal(*outputs)
    for out in outputs:
        out.square().sum().backward()
    expected = to_native_names({name: p.grad for name, p in swin.named_parameters()})
    assert all(torch.equal(p.grad, expected[name]) for name, p in encoder.named_parameters())


@pytest.mark.parametrize("encoder_type, size", CASES)
def test_every_block_is_timms(encoder_type, size):
    """Each on its own, whatever came before."""
    swin = timm_swin(encoder_type, 5, size, 7)
    encoder = ours(swin, encoder_type, 5, size, 7)
    generator = torch.Generator().manual_seed(2)
    for stage, timms in zip(encoder.layers, swin.layers, strict=True):
        for block, other in zip(stage.blocks, timms.blocks, strict=True):
            x = torch.randn(2, *other.input_resolution, other.dim, generator=generator)
            with torch.no_grad():
                assert torch.equal(block(x), other(x))
            assert block.window == other.window_size[0]
            assert (block.attn_mask is None) == (other.attn_mask is None)
            assert torch.equal(block.attn.relative_position_index, other.attn.relative_position_index)


def test_weights_start_as_timms():
    """The same spread tensor by tensor, except for the head, which starts at zero."""
    size = SWIN_SIZES["SwinEncoderNano"]
    torch.manual_seed(0)
    swin = TimmSwin(img_size=64, patch_size=size.patch_size, in_chans=5, num_classes=7, window_size=7,
                    embed_dim=size.embed_dim, depths=size.depths, num_heads=size.num_heads)
    expected = to_native_names(swin.state_dict())
    for name, value in SwinEncoder("SwinEncoderNano", 5, 64, 7).state_dict().items():
        if name.startswith("head."):
            assert not value.any()
        elif expected[name].std() == 0:
            assert torch.equal(value, expected[name]), name
        else:
            assert value.std().item() == pytest.approx(expected[name].std().item(), rel=0.35), name
            assert value.mean().item() == pytest.approx(0, abs=0.02), name


def encoder_with_head(size: int = 64) -> SwinEncoder:
    torch.manual_seed(0)
    encoder = SwinEncoder("SwinEncoderNano", 5, size, 4)
    torch.nn.init.normal_(encoder.head.weight)
    return encoder


def test_stochastic_depth_of_a_block():
    """Probability .05 in the last block: at .04 a branch is dropped, at .05 it counts 1 / .95 times."""
    block = encoder_with_head().layers[2].blocks[1]
    assert block.drop_probability == pytest.approx(0.05)
    x = torch.randn(3, 2, 2, 192)
    draws = torch.tensor([[0.04, 0.04], [0.04, 0.06], [0.06, 0.04]])
    out = block(x, draws)
    assert torch.equal(out[0], x[0])
    torch.testing.assert_close(out[1], x[1] + block.mlp(block.norm2(x))[1] / 0.95)
    torch.testing.assert_close(out[2], x[2] + block._attend(block.norm1(x))[2] / 0.95)
    assert not torch.equal(block(x), out), "no numbers, nothing dropped"


def test_stochastic_depth_of_the_encoder():
    encoder = encoder_with_head()
    count = encoder.drop_path_layers
    assert count == 2 * 7, "two in each block but the first, of 2 + 4 + 2"
    rates = [block.drop_probability for stage in encoder.layers for block in stage.blocks]
    assert rates == pytest.approx([0.05 * i / 7 for i in range(8)])
    x = masks(64)
    one, other = (encoder(x, torch.tensor([[0.9] * count, [0.0] * count])) for _ in range(2))
    assert torch.equal(one, other), "no hidden generator"
    changed = encoder(x, torch.full((2, count), 0.9))
    assert torch.equal(changed[0], one[0])
    assert not torch.equal(changed[1], one[1])
    seen = []
    for stage in encoder.layers:
        for block in stage.blocks:
            block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[1]))
    draws = torch.rand(2, count, generator=torch.Generator().manual_seed(0))
    encoder(x, draws)
    assert torch.equal(torch.cat(seen[1:], 1), draws), "two columns for each block, in the blocks' order"


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=re.escape("images of (72, 72) pixels, but this model reads 64")):
        encoder_with_head()(masks(72))


def test_pickled_and_copied():
    config = ModelConfig("SwinEncoderNano", MaskInput(transform=MaskTransform(input_size=64)), width=8, z_dim=4)
    net = Sem2NeRF(config)
    torch.nn.init.normal_(net.encoder.head.weight)
    x = torch.rand(1, config.input_nc, 64, 64)
    with torch.no_grad():
        expected = net.encode(x)
        for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
            assert again.encoder is not net.encoder
            codes = again.encode(x)
            assert torch.equal(codes.frequencies, expected.frequencies)
            assert torch.equal(codes.phase_shifts, expected.phase_shifts)
            assert again.state_dict().keys() == net.state_dict().keys()


COMPILED = """
import torch
from models.encoders.swin import SwinEncoder

encoder = SwinEncoder("SwinEncoderNano", 5, 64, 4)
torch.nn.init.normal_(encoder.head.weight)
whole = torch.compile(encoder, backend="eager", fullgraph=True)
x, draws = torch.randn(2, 5, 64, 64), torch.rand(2, encoder.drop_path_layers)
with torch.no_grad():
    assert torch.equal(whole(x, draws), encoder(x, draws))
    assert torch.equal(whole(x), encoder(x))
    assert not torch.equal(whole(x), whole(x, 0 * draws))
"""


def test_compiled_in_one_graph():
    """In a process without the tests' checks of shapes, which a compiler cannot trace."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
