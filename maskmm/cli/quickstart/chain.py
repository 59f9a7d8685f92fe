"""The stages of the quickstart in order, each with the settings that decide its result."""

from __future__ import annotations

from dataclasses import asdict

from maskmm.cli.quickstart import data, fits, results
from maskmm.cli.quickstart.resources import Cost
from maskmm.cli.quickstart.settings import QuickstartSettings, config_contents
from maskmm.cli.quickstart.stage import Stage, read_receipts


def stages(settings: QuickstartSettings, seed: int, startup: Cost) -> list[Stage]:
    """What one seed runs, in its folder.

    Args:
        settings: of everything but the fits.
        seed: of splits, weights, masks and generation.
        startup: what the imports of this process have cost, for the scores.
    """
    worked = [*_data_stages(settings, seed), *_model_stages(settings, seed)]
    scores = Stage(
        "scores",
        "Writing the scores",
        {},
        (str(results.SCORES),),
        lambda: results.write_scores(read_receipts(worked), startup, seed),
    )
    return [*worked, scores]


def _data_stages(settings: QuickstartSettings, seed: int) -> list[Stage]:
    return [
        Stage(
            "corpus",
            "Speaking the digits (synthetic speech)",
            {"seed": seed},
            (data.CACHE,),
            lambda: data.fill_cache(seed),
        ),
        Stage(
            "text_tokenizer",
            "Learning word pieces",
            {"vocab_size": settings.vocab_size, "max_length": settings.max_text_length},
            (str(data.tokenizer_folder("text")),),
            lambda: data.learn_text(seed, settings.vocab_size, settings.max_text_length),
        ),
        _tokenizer_fit("image", settings.image_tokenizer, seed),
        _tokenizer_fit("speech", settings.speech_tokenizer, seed),
        Stage(
            "tokens",
            "Encoding the corpus",
            {"num_views": settings.num_views, "num_speech_views": settings.num_speech_views},
            (data.STORE,),
            lambda: data.make_store(seed, settings.num_views, settings.num_speech_views),
        ),
    ]


def _model_stages(settings: QuickstartSettings, seed: int) -> list[Stage]:
    return [
        Stage(
            "model",
            "Training the shared model",
            {"configs": config_contents(settings.model)},
            (str(fits.last_checkpoint("model")),),
            lambda: fits.fit_model(settings.model, seed),
            (fits.run_folder("model"),),
        ),
        Stage(
            "export",
            "Writing the model's folder",
            {"generation": settings.generation},
            (str(results.MODEL),),
            lambda: results.export_model(settings),
        ),
        Stage(
            "evaluation",
            "Generating and judging",
            {"sizes": asdict(settings.sizes), "directions": asdict(settings.directions)},
            (str(results.EVALUATION), str(results.GALLERY)),
            lambda: results.evaluate(settings, seed),
        ),
    ]


def _tokenizer_fit(modality: str, configs: list[str], seed: int) -> Stage:
    name, folder = f"{modality}_tokenizer", data.tokenizer_folder(modality)
    return Stage(
        name,
        f"Training the {modality} tokenizer",
        {"configs": config_contents(configs)},
        (str(folder),),
        lambda: fits.fit_tokenizer(name, configs, seed, folder),
        (fits.run_folder(name),),
    )
