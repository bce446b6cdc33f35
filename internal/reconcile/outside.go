package reconcile

import (
	"errors"
	"slices"
	"syscall"

	"kube-router/internal/row"
)

// outside tells whether an error comes from what isn't this process and stays when it is started again: a driver says
// so, or the kernel does, by a facility that it lacks, a right or room that it doesn't give, a link that is not there, or
// a place that somebody else has.
func outside(err error) bool {
	if errors.As(err, &row.Foreign{}) {
		return true
	}
	var no syscall.Errno
	return errors.As(err, &no) && slices.Contains([]syscall.Errno{
		syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOSYS, // a module or a facility is missing
		syscall.EPERM, syscall.EACCES, syscall.EROFS, // a right
		syscall.ENOSPC, syscall.EDQUOT, syscall.ENOMEM, syscall.ENOBUFS, // room
		syscall.ENODEV, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH, // a link or a way
		syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.EEXIST, syscall.EBUSY, // somebody else has it
	}, no)
}
