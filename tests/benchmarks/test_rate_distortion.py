import io
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import tokenizers
from benchmarks.rate_distortion.budget import Budget, fit
from benchmarks.rate_distortion.quality import psnr, ssim
from benchmarks.rate_distortion.table import render
from datamodules.emoji_media import AugmentedDrawings
from datamodules.plan import BatchPlan
from datamodules.steps import ResumableLoader, StepData, StepLoader
from tokenizers_vq.quantizers import FSQ, ProjectedQuantizer
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.vision import VQGAN


class Noise(StepData):
    def __init__(self) -> None:
        super().__init__(2, 1, 0, 0)
        self.images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def train_dataloader(self) -> ResumableLoader:
        return self.training_loader(AugmentedDrawings(self.images, BatchPlan(6, 2, 0)))

    def val_dataloader(self) -> StepLoader:
        raise AssertionError("the budget is for training")


def module() -> TokenizerModule:
    torch.manual_seed(0)
    quantizer = ProjectedQuantizer(8, FSQ((4, 4)))
    return TokenizerModule(VQGAN(quantizer, 16, width=8, multipliers=(1,), num_blocks=0, stem_stride=4))


def test_a_budget_in_seconds_is_measured_and_ends_the_schedule() -> None:
    fit(module(), Noise(), Budget(is_quick=True))  # what is imported on the way costs a second too, once
    data, trained = Noise(), module()
    fitted = fit(trained, data, Budget(cpu_seconds=3.0))
    assert fitted.steps == data.num_steps == trained.global_step > 4
    assert fitted.cpu_s > 0
    assert not trained.training
    (optimizer,) = trained.trainer.optimizers
    assert optimizer.param_groups[0]["lr"] == pytest.approx(trained.lr * trained.final_lr, rel=0.1)


def test_quick_is_a_few_steps_and_the_seed_decides() -> None:
    one, two = module(), module()
    assert (
        fit(one, Noise(), Budget(is_quick=True)).steps == fit(two, Noise(), Budget(is_quick=True)).steps == 4
    )
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values()))


def test_bad_budget_and_data_without_steps() -> None:
    with pytest.raises(ValueError, match="cpu_seconds=0"):
        Budget(cpu_seconds=0)
    with pytest.raises(ValueError, match="object has no num_steps"):
        fit(module(), object(), Budget())


def test_psnr_over_pixels_and_over_images() -> None:
    original = torch.zeros(2, 3, 4, 4)
    decoded = original.clone()
    decoded[0], decoded[1] = 0.1, 0.01
    both = psnr(decoded, original)
    assert both["psnr_mean"] == pytest.approx(30.0)
    assert both["psnr"] == pytest.approx(-10 * math.log10((0.01 + 0.0001) / 2))
    is_drawn = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    is_drawn[0, :, :2] = True
    assert psnr(decoded, original, is_drawn) == {
        "psnr": pytest.approx(20.0),
        "psnr_mean": pytest.approx(20.0),
    }
    assert psnr(original, original)["psnr"] == pytest.approx(100.0)
    with pytest.raises(ValueError, match="expected"):
        psnr(decoded[:1], original)


def test_ssim_of_equal_images_is_one() -> None:
    images = torch.rand(2, 3, 16, 16)
    assert ssim(images, images) == pytest.approx(1.0)
    assert ssim(1 - images, images) < 0.5


def test_a_medium_that_fails_says_why_and_the_others_go_on() -> None:
    def find(medium: str) -> Callable[[Budget], Iterable[dict[str, Any]]]:
        if medium == "sound":
            raise ImportError("no such codec")
        return lambda budget: iter([{"medium": medium, "case": "ours", "steps": budget.seed}])

    rows = list(tokenizers.measure(["sound", "sight"], Budget(seed=7), find))
    assert rows[0]["failed"] == "ImportError: no such codec"
    assert rows[1] == {"medium": "sight", "case": "ours", "steps": 7}
    file = io.StringIO()
    assert not tokenizers.write(rows, {"torch": "2"}, [file])
    assert [json.loads(line)["torch"] for line in file.getvalue().splitlines()] == ["2", "2"]
    table = render([row | {"torch": "2"} for row in rows])
    assert "* torch: 2" in table
    assert "| ours | 7 |" in table
    assert "* sound: failed, ImportError: no such codec" in table


def test_runs_of_one_file_have_conditions_and_tables_of_their_own() -> None:
    rows = [
        {"medium": "image", "case": case, "command": command, "db": 1.5}
        for case, command in ("ax", "bx", "cy")
    ]
    table = render(rows)
    assert table.count("* command: ") == 2
    assert table.count("## image") == 2
    assert table.index("| b | 1.5 |") < table.index("* command: y") < table.index("| c | 1.5 |")


def test_command_line_in_one_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(budget: Budget) -> Iterable[dict[str, Any]]:
        for case in ("k-means", "ours", "theirs"):
            if budget.wants(case):
                yield {"medium": "image", "case": case, "is_quick": budget.is_quick, "s": budget.cpu_seconds}

    monkeypatch.setattr(tokenizers, "rows_of", lambda medium: rows)
    out = tmp_path / "rows.jsonl"
    options = [
        "--media",
        "image",
        "--quick",
        "--cpu-seconds",
        "7",
        "--only",
        "our",
        "their",
        "--out",
        str(out),
    ]
    monkeypatch.setattr("sys.argv", ["tokenizers.py", *options])
    assert tokenizers.main() == 0
    ours, theirs = map(json.loads, out.read_text().splitlines())
    assert (ours["case"], theirs["case"]) == ("ours", "theirs")
    assert ours["is_quick"]
    assert ours["s"] == 7
    assert ours["budget_cpu_s"] == "quick"
    assert ours["commit"]
    assert list(map(json.loads, capsys.readouterr().out.splitlines())) == [ours, theirs]
