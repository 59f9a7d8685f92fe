"""The front door: media in, media or features out."""

from maskmm.pipeline.editing import Edit
from maskmm.pipeline.front import Pipeline, load
from maskmm.pipeline.output import GenerationOutput
from maskmm.pipeline.settings import GenerationSettings

__all__ = ["Edit", "GenerationOutput", "GenerationSettings", "Pipeline", "load"]
