qemu_prepare() { die "no QEMU engine yet"; }
