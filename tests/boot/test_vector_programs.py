"""Debian's programs that look for vectors when they start, and use them: results beside the host's own programs."""

import math
import stat
import subprocess

import pytest

import vm
from tests.tools import needs
from vm.images import debian
from vm.images.cpio import cpio_newc
from vm.testing import Shell

pytestmark = [pytest.mark.network, needs("aomenc", "dav1d", "openssl")]

ISA = "default_v_zvl{}b_zvbb_zvbc_zvkng_zvksg"
WIDTH, HEIGHT, FRAMES = 176, 144, 12
SCALAR = {"dav1d": "dav1d --cpumask 0", "openssl": "OPENSSL_riscvcap=rv64gc openssl"}   # the same without vectors
KEY = "000102030405060708090a0b0c0d0e0f"
CIPHER = f"openssl enc -K {KEY}{{}} -iv {'0' * 32} -in clip.y4m"
COMMANDS = {
    "AV1": "dav1d --threads 1 -q -i clip.ivf -o - --muxer md5",
    "SHA-256": "openssl dgst -r -sha256 clip.y4m",
    "SHA-512": "openssl dgst -r -sha512 clip.y4m",
    "SM3": "openssl dgst -r -sm3 clip.y4m",
    "AES": f"{CIPHER.format('')} -aes-128-ctr | sha256sum",
    "ChaCha20": f"{CIPHER.format(KEY)} -chacha20 | sha256sum",
}


def moving_picture() -> bytes:
    """Some frames of waves and of edges, in YUV4MPEG2."""
    clip = bytearray(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n".encode())
    for frame in range(FRAMES):
        clip += b"FRAME\n"
        clip += bytes(int(128 + 80 * math.sin((x + 3 * frame) / 9) + 40 * math.cos((y - 2 * frame) / 7)
                          + (x * y * 7 + frame * 31) % 23) & 255 for y in range(HEIGHT) for x in range(WIDTH))
        clip += bytes(96 + (x * (plane + 1) + y + 5 * frame) % 64
                      for plane in range(2) for y in range(HEIGHT // 2) for x in range(WIDTH // 2))
    return bytes(clip)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Clips that guest and host work on."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "clip.y4m").write_bytes(moving_picture())
    subprocess.run(["aomenc", "--quiet", "--ivf", "--cpu-used=6", "--end-usage=q", "--cq-level=30", "-o", "clip.ivf",
                    "clip.y4m"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("vlen", [128, 256])
def test_programs_with_vectors_do_as_the_hosts_do_in_fewer_steps(files, vlen):
    image = debian(packages=["dav1d", "openssl"])
    more = [(f"root/{file.name}", stat.S_IFREG | 0o644, file.read_bytes(), (0, 0)) for file in files.iterdir()]
    with vm.Machine(memory="1G", isa=ISA.format(vlen)) as machine:
        machine.boot(image.kernel, image.initrd.read_bytes() + cpio_newc(more), image.cmdline)
        shell = Shell(machine)
        assert f"ZVKSH vlen:{vlen}" in shell.run("openssl info -cpusettings").output
        for name, command in COMMANDS.items():
            expected = subprocess.run(command, shell=True, cwd=files, check=True, capture_output=True, text=True)
            program = command.split()[0]
            steps = []
            for line in (command, command.replace(program, SCALAR[program], 1)):
                before = machine.steps
                result = shell.run(line, seconds=300)
                steps.append(machine.steps - before)
                assert (result.status, result.output.split()) == (0, expected.stdout.split()), f"{name}: {line}"
            assert steps[0] < steps[1], name
