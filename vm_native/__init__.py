"""The compiled core of `vm`: memory, block cache, engines and the RISC-V front end. Private to `vm`."""

import os
import sys
from collections.abc import Sequence


class Unbuilt:
    """Asked for the modules that nobody else finds: says so where only the source of one is there, as in a checkout."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        package, _, module = name.rpartition(".")
        if package.partition(".")[0] != __name__ or not path or not os.path.exists(f"{path[0]}/{module}.pyx"):
            return
        checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        raise ModuleNotFoundError(f"the sources in {checkout} are not built, {name} is missing: leave that directory, "
                                  "or build them there with `pip install -e .`", name=name)


sys.meta_path.append(Unbuilt)
