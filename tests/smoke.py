"""What a fresh installation must be able to do, with the standard library and the package alone: `python smoke.py`.

Run it with the interpreter of an environment that has the wheel, away from the source tree.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path = [entry for entry in sys.path if Path(entry or os.curdir).resolve() not in (HERE, HERE / "tests")]

import vm  # noqa: E402
from vm import copy  # noqa: E402

# Stores to 0x80001000, then powers off through the test device: auipc t0, 1; li t1, 42; sw t1, 0(t0);
# lui t0, 0x100; lui t1, 0x5; addiw t1, t1, 0x555; sw t1, 0(t0); j .
PROGRAM = (0x0000_1297, 0x02A0_0313, 0x0062_A023, 0x0010_02B7, 0x0000_5337, 0x5553_031B, 0x0062_A023, 0x0000_006F)


def main() -> None:
    assert Path(vm.__file__).parents[1] != HERE, f"{vm.__file__} is the source tree, not an installation"
    about = metadata("vm-emulator")
    assert about["Version"] == vm.__version__
    readme = about.get_payload() or about["Description"]
    assert "pip install" in readme and not re.search(r"\]\((?!https?:)", readme), "a link of the README leads nowhere"
    assert not list(Path(vm.__file__).parent.rglob("*.pyx")), "sources are in the wheel"
    assert (Path(vm.__file__).parent / "web" / "static" / "index.html").is_file(), "the page of the web console is not"

    with tempfile.TemporaryDirectory() as directory:
        image = Path(directory) / "image.bin"
        image.write_bytes(b"".join(word.to_bytes(4, "little") for word in PROGRAM))
        for engine in ("interpreter", "auto"):
            with vm.Machine(memory="16M", engine=engine) as machine:
                machine.load(image, address=0x8000_0000)
                stop = machine.run(instructions=1000)
                assert stop.reason is vm.StopReason.POWER_OFF, stop
                assert machine.memory.read(0x8000_1000, 4) == bytes([42, 0, 0, 0])

        for name in (name for name, there in copy.simd_features().items() if there):
            code = "from vm import copy; t = bytearray(9999); copy.memcpy_fast(t, bytes([7]) * 9999); print(t.count(7))"
            output = subprocess.run([sys.executable, "-c", code], env={**os.environ, "VM_COPY": name}, cwd=directory,
                                    capture_output=True, text=True, check=True).stdout
            assert output == "9999\n", (name, output)

        command = shutil.which("vm", path=Path(sys.executable).parent)
        assert command, "the command vm is not installed"
        for arguments in (["--version"], ["info"], ["demo"]):
            subprocess.run([command, *arguments], cwd=directory, stdout=subprocess.DEVNULL, check=True)
    compilers = [name for name in ("cc", "gcc", "clang") if shutil.which(name)]
    print(f"vm {vm.__version__} works here; compilers on the way: {', '.join(compilers) or 'none'}")


if __name__ == "__main__":
    main()
