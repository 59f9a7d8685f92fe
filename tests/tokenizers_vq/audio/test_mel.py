import pytest
import torch

from tokenizers_vq.audio.mel import MelVQ
from tokenizers_vq.audio.waveforms import pad_waveforms


def clips(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, generator=generator) - 0.5 for size in sizes]


@pytest.fixture(scope="module")
def tokenizer():
    torch.manual_seed(0)
    tokenizer = MelVQ(
        max_length=20, width=16, num_blocks=2, codebook_size=32, code_dim=4, griffin_lim_steps=4
    )
    tokenizer.train()(clips(8000, 12000, 6000, 12800))
    return tokenizer.eval()


def test_lengths(tokenizer):
    codes = tokenizer.encode(clips(640, 641, 1280, 12800))
    assert [c.shape for c in codes] == [(1, 4), (2, 4), (2, 4), (20, 4)]
    assert [s.shape for s in tokenizer.decode(codes)] == [(640,), (1280,), (1280,), (12800,)]
    assert tokenizer.spec.tokens_of_span(0.04, 0.08, (3,)).tolist() == [False, True, False]


def test_a_clip_has_the_same_codes_in_any_company(tokenizer):
    media = clips(3000, 640, 12800, 5000, 777, 6400, 9999, 3000)
    together = tokenizer.encode(media)
    for clip, codes in zip(media, together):
        assert torch.equal(tokenizer.encode([clip])[0], codes)


def test_what_lies_beyond_the_length_does_not_matter(tokenizer):
    media = clips(3000, 12000)
    lengths = torch.tensor([3000, 12000])
    padded = torch.nn.utils.rnn.pad_sequence(media, batch_first=True, padding_value=float("nan"))
    expected = tokenizer.encode(media)
    assert all(torch.equal(a, b) for a, b in zip(tokenizer.encode(padded, lengths), expected))


def test_training_does_not_see_padding(tokenizer):
    media, lengths = clips(3000, 12000), torch.tensor([3000, 12000])
    padded = torch.nn.utils.rnn.pad_sequence(media, batch_first=True, padding_value=0.7)
    torch.testing.assert_close(tokenizer(padded, lengths).loss, tokenizer(media).loss)


def test_a_sound_does_not_depend_on_its_batch(tokenizer):
    codes = tokenizer.encode(clips(3000, 8000, 3100))
    together = tokenizer.decode(codes)
    for one, sound in zip(codes, together):
        torch.testing.assert_close(tokenizer.decode([one])[0], sound, rtol=1e-3, atol=1e-4)


def test_decoding_is_deterministic(tokenizer):
    codes = tokenizer.encode(clips(3000, 8000))
    assert all(torch.equal(a, b) for a, b in zip(tokenizer.decode(codes), tokenizer.decode(codes)))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([1000]), r"lengths of shape \(1,\)"),
        (torch.tensor([1000.0, 900.0]), "expected .* int64"),
        (torch.tensor([1000, 1001]), "1001"),
        (torch.tensor([1000, 0]), "0 to 1000 samples"),
    ],
)
def test_bad_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        pad_waveforms(torch.zeros(2, 1000), lengths, 640, 6400)


def test_lengths_belong_to_padded_batches():
    with pytest.raises(ValueError, match="padded"):
        pad_waveforms(clips(1000), torch.tensor([1000]), 640, 6400)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="num_blocks=0"):
        MelVQ(num_blocks=0)


def test_the_first_codebooks_decode_alone(tokenizer):
    codes = tokenizer.encode(clips(3000, 8000))
    few = tokenizer.decode([one[:, :2] for one in codes])
    assert [s.shape for s in few] == [s.shape for s in tokenizer.decode(codes)]
    assert not torch.equal(few[0], tokenizer.decode(codes)[0])
    with pytest.raises(ValueError, match="of 0 codebooks, expected 1 to 4"):
        tokenizer.decode([one[:, :0] for one in codes])
