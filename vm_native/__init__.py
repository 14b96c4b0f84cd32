"""The compiled core of `vm`: memory, block cache, engines and the RISC-V front end. Private to `vm`."""

import os
import sys


class Unbuilt:
    """Asked for the modules that nobody else finds: says so where only the source of one is there, as in a checkout."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, module = name.rpartition(".")
        if package.partition(".")[0] != __name__ or not os.path.exists(os.path.join(path[0], f"{module}.pyx")):
            return None
        checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        raise ModuleNotFoundError(f"the sources in {checkout} are not built, {name} is missing: leave that directory, "
                                  "or build them there with `pip install -e .`", name=name)


sys.meta_path.append(Unbuilt)
