"""No file of a machine is standard input, output or error, also where those are closed."""

import subprocess
import sys

# With the standard descriptors closed: the core's RAM, a disk, an overlay. Exit code: how many are below 3.
SCRIPT = """
import os, sys
for number in (0, 1, 2):
    os.close(number)
import vm
machine = vm.Machine(memory="1M")
disks = [vm.devices.BlockDevice(sys.argv[1], read_only=True),
         vm.devices.BlockDevice(sys.argv[1], discard=True)]
taken = 0
for number in (0, 1, 2):
    try:
        os.fstat(number)
        taken += 1
    except OSError:
        pass
os._exit(taken + sum(file < 3 or os.get_inheritable(file)
               for file in (disk.disk.base.image.file.descriptor for disk in disks)))
"""


def test_files_keep_clear_of_the_standard_descriptors(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    assert subprocess.run([sys.executable, "-c", SCRIPT, image], check=False, timeout=60).returncode == 0
