"""Packages whose digests this version of vm knows, for when a mirror has no usable index, as while it is being updated.

A mirror keeps a package file for as long as some release names it: these serve until the next point release of trixie.
"""

from vm.images.package import Package

KNOWN = {
    package.name: package
    for package in (
        Package(
            "debian-installer-13-netboot-riscv64", "20250803+deb13u8",
            "pool/main/d/debian-installer-netboot-images/debian-installer-13-netboot-riscv64_20250803+deb13u8_all.deb",
            52306328, "77306aa7c3315625630d80d3a1ac04759e6450520360a4f0db4cc13e63ed2f2d", (),
        ),
        Package(
            "linux-image-riscv64", "6.12.117-1",
            "pool/main/l/linux/linux-image-riscv64_6.12.117-1_riscv64.deb",
            1444, "c1685361464fce280b85273c0914696c4167ab4d94a335c22401b52a1f7f9959",
            ("linux-image-6.12.117+deb13-riscv64",),
        ),
        Package(
            "linux-image-6.12.117+deb13-riscv64", "6.12.117-1",
            "pool/main/l/linux/linux-image-6.12.117+deb13-riscv64_6.12.117-1_riscv64.deb",
            112593968, "f5d9424b6f6a4518197202effc7e8eeaa90f8d73466c2dba2470f6ea7fb4f55c", (),
        ),
        Package(
            "busybox-static", "1:1.37.0-6+b9",
            "pool/main/b/busybox/busybox-static_1.37.0-6+b9_riscv64.deb",
            941532, "4add476d2b185c5b487c285b38d790f0881a7e4a8e2ddde835f917e770eb8633", (),
        ),
        Package(
            "opensbi", "1.6-1",
            "pool/main/o/opensbi/opensbi_1.6-1_all.deb",
            204072, "dc4a43bd21a0ca11771ed8b19ee6fa8476d1d0f4976bd0b27c0357c699d27e1e", (),
        ),
        Package(
            "u-boot-qemu", "2025.01-3+deb13u1",
            "pool/main/u/u-boot/u-boot-qemu_2025.01-3+deb13u1_all.deb",
            2330704, "a3751b5d36a411457b2e7a2834cdce0e5d40493e6588a65d51c5603740a0c71c", (),
        ),
    )
}
