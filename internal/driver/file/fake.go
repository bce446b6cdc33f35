package file

import "path/filepath"

// NewFake makes the driver for a CNI file in a folder of the caller's, since files need no kernel facility
// that a test could lack.
func NewFake(folder string) *Driver { return New(filepath.Join(folder, "10-kuberouter.conflist")) }
