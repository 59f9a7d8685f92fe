"""The stages of the quickstart in order, each with the settings that decide its result."""

from __future__ import annotations

from maskmm.cli.quickstart import data, fits
from maskmm.cli.quickstart.settings import QuickstartSettings, config_contents
from maskmm.cli.quickstart.stage import Stage


def stages(settings: QuickstartSettings, seed: int) -> list[Stage]:
    """What one seed runs, in its folder."""
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
            {"num_views": settings.num_views},
            (data.STORE,),
            lambda: data.make_store(seed, settings.num_views),
        ),
        Stage(
            "model",
            "Training the shared model",
            {"configs": config_contents(settings.model)},
            (str(fits.last_checkpoint("model")),),
            lambda: _fit_model(settings.model, seed),
            (fits.run_folder("model"),),
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


def _fit_model(configs: list[str], seed: int) -> None:
    fits.fit("model", configs, seed)
