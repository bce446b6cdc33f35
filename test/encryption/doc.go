// Package encryption shows by packets that what nodes send each other is encrypted when it should be: with WireGuard in user space on
// this kernel, and with the kernel's in the guest.
package encryption
