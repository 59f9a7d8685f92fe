from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules.paired import outline_batch, token_batch
from datamodules.store import TokenItems, TokenStore, write_store
from datamodules.tokens import PairedTokens
from tokenizers_vq.contract import BatchTransform, Key, Modality, TokenBatch, TokenSpec

MODALITIES = [
    Modality("image", TokenSpec(64, 1, ("y", "x"), grid=(4, 4))),
    Modality("speech", TokenSpec(32, 2, ("t",), max_length=9)),
    Modality("label", TokenSpec(10)),
]
COUNTS = {"image": 60, "speech": 31, "label": 10}


def make_items(modality: Modality, count: int, seed: int) -> TokenItems:
    random, spec = torch.Generator().manual_seed(seed), modality.spec
    shapes = [spec.shape() if spec.is_fixed else spec.shape(1 + i % 9) for i in range(count)]
    codes = [torch.randint(spec.codebook_size, (*s, spec.num_codebooks), generator=random) for s in shapes]
    return TokenItems.from_codes(codes, torch.arange(count) % 10, spec, "hash")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    for seed, split in enumerate(("train", "val", "test")):
        write_store(folder / split, {m.name: make_items(m, COUNTS[m.name], seed) for m in MODALITIES}, {})
    return folder


class KeepBatch:
    """A collate that packs nothing."""

    def __call__(self, batch: TokenBatch, key: Key) -> dict[str, object]:
        return {"batch": batch, "key": (key.seed, key.step), "coin": key.uniform(batch.sample_id)}


class DropLabels:
    """A transform that leaves out hashed segments."""

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch:
        return batch.keep_segments(
            key.uniform(batch.sample_id[batch.segments.sample], batch.segments.modality) < 0.7
        )


def make_data(folder: Path, transforms: list[BatchTransform] | None = None, **kwargs: object) -> PairedTokens:
    settings = {"batch_size": 8, "num_steps": 10, "seed": 5} | kwargs
    return PairedTokens(
        folder, modalities=list(MODALITIES), collate=KeepBatch(), transforms=transforms, **settings
    )


def as_lists(batch: dict[str, object]) -> list[object]:
    tokens = batch["batch"]
    assert isinstance(tokens, TokenBatch)
    table = tokens.segments
    parts = [table.sample, table.modality, table.start, table.shape, tokens.sample_id, *tokens.codes.values()]
    return [part.tolist() for part in parts] + [list(batch["key"]), batch["coin"].tolist()]  # type: ignore


def test_agrees_with_the_contracts_own_builder(folder: Path) -> None:
    store = TokenStore.open(folder / "train")
    random = torch.Generator().manual_seed(1)
    items = {name: torch.randint(count, (9,), generator=random) for name, count in COUNTS.items()}
    ids = torch.arange(9) * 7
    fast = token_batch(store, MODALITIES, items, ids)
    samples = [{n: store.codes(n, int(items[n][b])) for n in COUNTS} for b in range(9)]
    naive = TokenBatch.from_samples(samples, MODALITIES, ids)
    assert fast.names == naive.names and torch.equal(fast.sample_id, naive.sample_id)
    for name in COUNTS:
        assert torch.equal(fast.codes[name], naive.codes[name])
    for column in ("sample", "modality", "start", "shape"):
        assert torch.equal(getattr(fast.segments, column), getattr(naive.segments, column))


def test_an_outline_is_the_batch_without_its_codes(folder: Path) -> None:
    store, ids = TokenStore.open(folder / "train"), torch.arange(9)
    items = {name: ids % count for name, count in COUNTS.items()}
    whole, outline = (make(store, MODALITIES, items, ids) for make in (token_batch, outline_batch))
    for name in COUNTS:
        assert outline.codes[name].shape == whole.codes[name].shape and not outline.codes[name].any()
    for column in ("sample", "modality", "start", "shape"):
        assert torch.equal(getattr(outline.segments, column), getattr(whole.segments, column))


def test_samples_agree_in_class_and_anchors_come_once(folder: Path) -> None:
    batches = make_data(folder, batch_size=20).batches("train")
    labels = {m.name: batches.source.store.labels(m.name) for m in MODALITIES}
    anchors = []
    for step in range(3):
        (draws,) = batches.shares.draws(step)
        anchor, items = batches.source.plan.of_draws(draws), batches.source.items(draws)
        assert torch.equal(items["image"], anchor)
        assert all(torch.equal(labels[n][items[n]], labels["image"][anchor]) for n in items)
        anchors.append(anchor)
    assert torch.equal(torch.cat(anchors).sort().values, torch.arange(60))


def test_same_pairs_at_any_batch_size_and_rank(folder: Path) -> None:
    large = make_data(folder, batch_size=8).batches("train").tokens(0).samples(MODALITIES)
    small = make_data(folder, batch_size=2).batches("train")
    apart = [s for step in range(4) for s in small.tokens(step).samples(MODALITIES)]
    for one, other in zip(large, apart):
        assert all(torch.equal(one[n][0], other[n][0]) for n in one)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_see_the_same_batches(folder: Path, num_workers: int) -> None:
    loader = make_data(folder, [DropLabels()], num_workers=num_workers).train_dataloader()
    expected = make_data(folder, [DropLabels()]).batches("train")
    assert [as_lists(b) for b in loader] == [as_lists(expected(step)) for step in range(10)]


def test_validation_is_fixed(folder: Path) -> None:
    data = make_data(folder, val_batches=3)
    first, second = (
        [as_lists(b) for b in data.val_dataloader()],
        [as_lists(b) for b in data.val_dataloader()],
    )
    assert first == second and len(first) == 3
    assert first != [as_lists(b) for b in data.test_dataloader()]


class Recorder(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[object] = []

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        return batch

    def training_step(self, batch: dict[str, object], batch_idx: int) -> torch.Tensor:
        self.seen.append(as_lists(batch))
        return (self.weight - 1.0) ** 2

    def validation_step(self, batch: dict[str, object], batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_resume_goes_on_with_the_same_batches(folder: Path, tmp_path: Path) -> None:
    def fit(max_steps: int, ckpt: Path | None) -> Recorder:
        model = Recorder()
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_steps=max_steps,
            val_check_interval=4,
            callbacks=[ModelCheckpoint(tmp_path, every_n_train_steps=3, save_last=True)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(
            model, make_data(folder, [DropLabels()]), ckpt_path=ckpt, weights_only=True if ckpt else None
        )
        return model

    first = fit(6, None)
    second = fit(10, tmp_path / "last.ckpt")
    expected = make_data(folder, [DropLabels()]).batches("train")
    assert first.seen + second.seen == [as_lists(expected(step)) for step in range(10)]


def test_wrong_modalities_are_named(folder: Path) -> None:
    data = make_data(folder)
    data.modalities = [Modality("video", TokenSpec(4))]
    with pytest.raises(ValueError, match="no modality 'video', only image, label, speech"):
        data.batches("train")
    data.modalities = [Modality("image", TokenSpec(65, 1, ("y", "x"), grid=(4, 4)))]
    with pytest.raises(ValueError, match="make the store again with this tokenizer"):
        data.batches("train")
    with pytest.raises(ValueError, match="modalities is empty"):
        PairedTokens(folder, 1, 1, 0, [], KeepBatch())


def test_description_reads_nothing(tmp_path: Path) -> None:
    text = str(make_data(tmp_path / "absent"))
    assert text == "PairedTokens(batch_size=8, num_steps=10, seed=5, num_workers=0)"


def test_wrong_numbers_and_anchors_are_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        make_data(folder, batch_size=0)
    with pytest.raises(ValueError, match="anchor 'video' is none of the modalities image, speech, label"):
        make_data(folder, anchor="video").batches("train")


def test_continuous_inputs_come_with_their_items(tmp_path: Path) -> None:
    image, speech = (make_items(m, COUNTS[m.name], 0) for m in MODALITIES[:2])
    values = torch.randn(len(image.codes), 3, generator=torch.Generator().manual_seed(0))
    for split in ("train", "val"):
        write_store(tmp_path / split, {"image": image.with_inputs(values, "p"), "speech": speech}, {})
    settings = {
        "batch_size": 6,
        "num_steps": 3,
        "seed": 5,
        "modalities": MODALITIES[:2],
        "collate": KeepBatch(),
    }
    data = PairedTokens(tmp_path, inputs=["image"], transforms=[DropLabels()], **settings)  # type: ignore[arg-type]
    source = data.batches("train").source
    for step in range(3):
        batch = data.batches("train")(step)["batch"]
        items, table = source.items(batch.sample_id)["image"], batch.segments
        kept = table.sample[table.modality == 0]
        wanted = [values[16 * i : 16 * i + 16] for i in items[kept].tolist()]
        assert torch.equal(batch.inputs["image"], torch.cat(wanted)) and set(batch.inputs) == {"image"}
    assert not PairedTokens(tmp_path, **settings).batches("train")(0)["batch"].inputs  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no continuous inputs of 'speech'"):
        PairedTokens(tmp_path, inputs=["speech"], **settings).batches("train")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"inputs=\['video'\], expected names among"):
        PairedTokens(tmp_path, inputs=["video"], **settings)  # type: ignore[arg-type]
