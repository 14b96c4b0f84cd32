"""Packages whose digests this version of vm knows, for when a mirror has no usable index, as while it is being updated.

A mirror keeps a package file for as long as some release names it: these serve until the next point release of trixie.
"""

from vm.images.package import Package

KNOWN = {
    package.name: package
    for package in (
        Package(
            "debian-installer-13-netboot-riscv64", "20250803+deb13u7",
            "pool/main/d/debian-installer-netboot-images/debian-installer-13-netboot-riscv64_20250803+deb13u7_all.deb",
            52381500, "4112d2f09eff16ffaa21e78e5d5863f4baab328a77787bfe17555aa230b20dcc", (),
        ),
        Package(
            "linux-image-riscv64", "6.12.107-1", "pool/main/l/linux/linux-image-riscv64_6.12.107-1_riscv64.deb",
            1436, "1b458cc5b1d13b946bdca67bdca891fccf57882f8af972276d1346b24fa8285b",
            ("linux-image-6.12.107+deb13-riscv64",),
        ),
        Package(
            "linux-image-6.12.107+deb13-riscv64", "6.12.107-1",
            "pool/main/l/linux/linux-image-6.12.107+deb13-riscv64_6.12.107-1_riscv64.deb",
            112012420, "abe9f65d74b434692149482b031db7a2aaf832921e09f69f775293c0e0c5799c", (),
        ),
        Package(
            "busybox-static", "1:1.37.0-6+b9", "pool/main/b/busybox/busybox-static_1.37.0-6+b9_riscv64.deb",
            941532, "4add476d2b185c5b487c285b38d790f0881a7e4a8e2ddde835f917e770eb8633", (),
        ),
        Package(
            "opensbi", "1.6-1", "pool/main/o/opensbi/opensbi_1.6-1_all.deb",
            204072, "dc4a43bd21a0ca11771ed8b19ee6fa8476d1d0f4976bd0b27c0357c699d27e1e", (),
        ),
    )
}
