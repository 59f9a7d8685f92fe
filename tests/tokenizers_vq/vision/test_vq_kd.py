import pytest
import timm
import torch
from safetensors.torch import save_file

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.quantizers import CosineVQ
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.vision import VQKD, TimmTeacher

SIZES = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "decoder_depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small model of timm as a file; its weights are those of a start, which is all that shapes need."""
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", depth=1, img_size=64)
    path = tmp_path_factory.mktemp("teacher") / "vit.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def teacher(weights):
    full = timm.create_model("vit_tiny_patch16_224", img_size=64)
    save_file(full.state_dict(), weights.with_name("full.safetensors"))
    return TimmTeacher(weights.with_name("full.safetensors"), "vit_tiny_patch16_224", image_size=64)


def images(count=2):
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def made(teacher=None, **changes) -> VQKD:
    torch.manual_seed(0)
    return VQKD(CosineVQ(16, 4), teacher, **({"teacher_dim": 192} | SIZES | changes))


def test_the_teacher_has_a_vector_a_token(teacher):
    assert teacher(images()).shape == (2, 4, 4, 192)


def test_features_after_the_projection(teacher, tmp_path):
    full = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=1000)
    save_file(full.state_dict(), tmp_path / "full.safetensors")
    projected = TimmTeacher(tmp_path / "full.safetensors", "vit_tiny_patch16_224", 64, is_projected=True)
    assert projected(images()).shape == (2, 4, 4, 1000)


def test_teacher_features_are_timms_own(teacher):
    network = teacher.network
    resized = torch.nn.functional.interpolate(images(), (64, 64), mode="bicubic", antialias=True)
    tokens = network.forward_features((resized - 0.5) / 0.5)[:, 1:]
    torch.testing.assert_close(teacher(images()), tokens.unflatten(1, (4, 4)))


def test_training_leaves_the_teacher_alone_and_folders_leave_it_out(teacher, tmp_path):
    tokenizer = made(teacher).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    module = TokenizerModule(tokenizer)
    assert not any("teacher" in name for name in module.state_dict())
    optimizer = torch.optim.Adam([p for p in tokenizer.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        out = tokenizer(images())
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.parts["reconstruction"].detach()))
    assert losses[-1] < losses[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    tokenizer.eval().save(tmp_path / "folder")
    loaded = load_tokenizer(tmp_path / "folder")
    assert isinstance(loaded, VQKD)
    codes = loaded.encode(images())
    assert torch.equal(codes, tokenizer.encode(images()))
    assert loaded.features(codes).shape == (2, 4, 4, 192)
    assert not loaded.has_decoder
    with pytest.raises(ValueError, match="no teacher"):
        loaded(images())
    with pytest.raises(ValueError, match="no pixels"):
        loaded.decode(codes)


def test_a_teacher_that_does_not_fit_is_named(teacher):
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 192\), expected \(2, 4, 4, 8\)"):
        made(teacher, teacher_dim=8)(images())
    with pytest.raises(ValueError, match="patch_size"):
        made(patch_size=5)


def test_wrong_files_and_names_of_teachers(weights, tmp_path):
    with pytest.raises(ValueError, match="not known to timm"):
        TimmTeacher(weights, "vit_nobody")
    with pytest.raises(ValueError, match="does not exist"):
        TimmTeacher(tmp_path / "none.pth", "vit_tiny_patch16_224")
    with pytest.raises(ValueError, match="weights are missing"):
        TimmTeacher(weights, "vit_tiny_patch16_224", image_size=64)
    with pytest.raises(ValueError, match="no vision transformer"):
        path = tmp_path / "resnet.pth"
        torch.save({"state_dict": timm.create_model("resnet10t").state_dict()}, path)
        TimmTeacher(path, "resnet10t")
