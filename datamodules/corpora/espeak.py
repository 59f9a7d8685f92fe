"""eSpeak NG in process: a private copy of the library, so that one call sequence always gives one result."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.corpora.packages import import_package

SYNCHRONOUS, DO_NOT_EXIT, UTF8 = 2, 0x8000, 1
RATE, PITCH = 1, 3

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_lock = threading.Lock()  # the library crashes the process when two threads synthesise at once


class Espeak:
    """Offline text to speech; use it as a context manager.

    The library keeps noise and phase state that no call resets: the same text twice gives two waveforms. Each
    instance therefore loads a copy of the library of its own, seeded alike, so that the same sequence of
    `say` calls gives the same samples in any process, however often it is run.

    Raises:
        ValueError: espeakng-loader is not installed, or the library does not start.
    """

    def __enter__(self) -> Espeak:
        loader = import_package("espeakng_loader", "espeakng-loader", "speech")
        self._folder = tempfile.TemporaryDirectory(prefix="maskmm-espeak-")
        source = Path(loader.get_library_path())
        copy = Path(self._folder.name) / source.name
        shutil.copyfile(source, copy)
        self._lib = ctypes.CDLL(str(copy))
        self._chunks: list[NDArray[np.int16]] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only its address
        with _lock:
            data = str(loader.get_data_path()).encode()
            self.sample_rate = int(self._lib.espeak_Initialize(SYNCHRONOUS, 0, data, DO_NOT_EXIT))
            if self.sample_rate <= 0:
                raise ValueError(f"eSpeak NG did not start (code {self.sample_rate}), data {data.decode()}")
            self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
            self._lib.espeak_SetSynthCallback(self._callback)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _lock:
            self._lib.espeak_Terminate()
        self._folder.cleanup()

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, rate: int, pitch: int) -> NDArray[np.float32]:
        """Speak a text.

        Args:
            text: what to say.
            voice: e.g. "en-us+f2", a base voice and a timbre. An unknown one is not reported by the library.
            rate: words a minute, 80 to 450.
            pitch: 0 to 99.

        Returns:
            (T,) float32 in [-1, 1] at `sample_rate` (22,050 Hz), silence at both ends not trimmed.
        """
        data = text.encode() + b"\0"
        with _lock:
            self._chunks.clear()
            self._lib.espeak_SetVoiceByName(voice.encode())
            # Rate and pitch outlive a change of voice, so both are set each time.
            self._lib.espeak_SetParameter(RATE, rate, 0)
            self._lib.espeak_SetParameter(PITCH, pitch, 0)
            self._lib.espeak_Synth(data, len(data), 0, 0, 0, UTF8, None, None)
            self._lib.espeak_Synchronize()
            if not self._chunks:
                raise ValueError(f"eSpeak NG gave no sound for {text!r} with voice {voice!r}")
            return np.concatenate(self._chunks).astype(np.float32) / 32768.0
