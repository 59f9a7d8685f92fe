import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import naive_visual_bpe as naive
from tokenizers_vq.contract import Tokenizer, TokenSpec, load_tokenizer
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.visual_bpe import DOWN, RIGHT, Merges, VisualBPE, learn_merges


class Grids(Tokenizer):
    """Media are the codes themselves."""

    media = "grid"

    def __init__(self, codebook_size: int, height: int, width: int, num_codebooks: int = 1) -> None:
        super().__init__()
        self._spec = TokenSpec(codebook_size, num_codebooks, axes=("y", "x"), grid=(height, width))

    @property
    def spec(self):
        return self._spec

    def encode(self, media, lengths=None):
        return media

    def decode(self, codes):
        return codes


def random_grids(codes: int, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randint(codes, shape, generator=torch.Generator().manual_seed(seed))


corpora = st.builds(
    random_grids,
    st.integers(1, 4),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 999),
)


@settings(max_examples=25, deadline=None)
@given(corpora, st.integers(1, 12))
def test_merges_and_tokens_agree_with_the_naive_twin(grids, num_merges):
    merges = learn_merges(grids, 4, num_merges)
    table, tokens = naive.learn(grids.tolist(), 4, num_merges)
    assert [tuple(row) for row in merges.table.tolist()] == table
    assert [row.tolist() for row in merges.apply(grids)] == tokens


@settings(max_examples=25, deadline=None)
@given(corpora, st.integers(1, 30), st.integers(0, 999), st.integers(1, 2))
def test_splitting_is_the_exact_inverse_of_merging(grids, num_merges, seed, num_codebooks):
    """Also of grids that the merges were not learned on."""
    base = Grids(4, *grids.shape[1:], num_codebooks)
    learned = grids[..., None].expand(*grids.shape, num_codebooks)
    tokenizer = VisualBPE.learn(base, learned, num_merges)
    for codes in (learned, random_grids(4, (5, *base.spec.shape(), num_codebooks), seed)):
        tokens = tokenizer.encode(codes)
        assert torch.equal(tokenizer.decode(tokens), codes)
        assert all(tokenizer.spec.check_codes(row, "tokens") is None for row in tokens)


def test_a_constant_image_is_few_tokens():
    grids = torch.zeros(4, 8, 8, dtype=torch.int64)
    merges = learn_merges(grids, 1, 10, min_count=1)
    assert [len(row) for row in merges.apply(grids)] == [1] * 4
    assert int(merges.height[-1]) * int(merges.width[-1]) == 64


def test_runs_of_equal_tokens_merge_from_the_left_and_from_above():
    merges = Merges(1, torch.tensor([[0, 0, RIGHT]]))
    assert merges.apply(torch.zeros(1, 1, 5, dtype=torch.int64))[0].tolist() == [1, 1, 0]
    merges = Merges(1, torch.tensor([[0, 0, DOWN]]))
    assert merges.apply(torch.zeros(1, 3, 1, dtype=torch.int64))[0].tolist() == [1, 0]


def test_a_trained_tokenizer_and_its_folder(tmp_path):
    torch.manual_seed(0)
    base = ImageVQ(16, width=8, codebook_size=4, code_dim=2).eval()
    images = torch.rand(6, 1, 16, 16)
    tokenizer = VisualBPE.learn(base, base.encode(images), 8)
    assert sum(map(len, tokenizer.encode(images))) < 6 * 16
    assert torch.equal(tokenizer.decode(tokenizer.encode(images)), base.decode(base.encode(images)))
    assert not any(p.requires_grad for p in tokenizer.parameters())
    tokenizer.save(tmp_path)
    assert isinstance(load_tokenizer(tmp_path / "base"), ImageVQ)
    loaded = load_tokenizer(tmp_path)
    assert loaded.media == "image"
    assert all(map(torch.equal, loaded.encode(images), tokenizer.encode(images)))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="half-copied"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("tokens", [[0, 0, 0], [0, 2, 0], [2, 2, 2]])
def test_tokens_that_do_not_tile_are_refused(tokens):
    """Two by two cells; token 2 is two cells side by side."""
    tokenizer = VisualBPE(Grids(2, 2, 2), torch.tensor([[0, 0, RIGHT]]))
    good = torch.tensor([2, 2])[:, None]
    assert tokenizer.decode([good]).flatten().tolist() == [0] * 4
    with pytest.raises(ValueError, match="sample 1: its 3 tokens do not tile"):
        tokenizer.decode([good, torch.tensor(tokens)[:, None]])


def test_tokens_are_cut_to_the_room_there_is():
    tokenizer = VisualBPE(Grids(2, 2, 2), torch.tensor([[0, 0, DOWN]]), fill=1)
    # One cell, then a column of two, then one of which only the upper cell has room, then one without any.
    assert tokenizer.decode([torch.tensor([0, 2, 2, 2])[:, None]]).flatten().tolist() == [0, 0, 0, 0]
    assert tokenizer.decode([torch.tensor([0])[:, None]]).flatten().tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "table, message",
    [
        ([[0, 9, RIGHT]], "below 2"),
        ([[0, 1, 2]], "direction 2"),
        ([[0, 0, RIGHT], [2, 0, DOWN]], "do not fit"),
        ([[0, 0, RIGHT], [0, 0, RIGHT]], "twice"),
        ([[0, 0]], "expected"),
    ],
)
def test_bad_merges_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Merges(2, torch.tensor(table))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        learn_merges(torch.zeros(1, 2, 2, dtype=torch.int64), 2, 0)
    with pytest.raises(ValueError, match="0 to 1"):
        learn_merges(torch.full((1, 2, 2), 2), 2, 1)
    with pytest.raises(ValueError, match="integers"):
        learn_merges(torch.zeros(2, 2), 2, 1)
    with pytest.raises(ValueError, match="fill=7"):
        VisualBPE(Grids(2, 2, 2), torch.zeros(0, 3, dtype=torch.int64), fill=7)
    with pytest.raises(ValueError, match="combinations"):
        VisualBPE(Grids(1024, 2, 2, 3), torch.zeros(0, 3, dtype=torch.int64))
