package wireguard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"kube-router/internal/row"
)

// Process is WireGuard in a process of its own, on a TUN link that is there and stays when it ends. It knows no keys until it is
// told them on its socket, which root alone may open.
type Process struct {
	Dir   string // of its socket and lock
	Token string // what it was started as
	Log   *slog.Logger
}

// Run carries packets until ctx ends or the link goes.
func (p *Process) Run(ctx context.Context) error {
	lock, err := p.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	link, err := net.InterfaceByName(row.WireName)
	if err != nil {
		return fmt.Errorf("link %s is not there (yet): %w", row.WireName, err)
	}
	t, err := tun.CreateTUN(row.WireName, link.MTU)
	if err != nil {
		return fmt.Errorf("take link %s: %w", row.WireName, err)
	}
	say := func(format string, args ...any) { p.Log.Warn(fmt.Sprintf(format, args...)) }
	dev := device.NewDevice(t, conn.NewDefaultBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: say})
	defer dev.Close()
	if err := dev.Up(); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	l, err := p.listen(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go dev.IpcHandle(c)
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-dev.Wait():
		return nil // its link is gone
	}
}

// lock holds the place of the one process. Its number and token are in the file.
func (p *Process) lock() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(p.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process of WireGuard runs: %w", err), f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d %s\n", os.Getpid(), p.Token)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
	return f, nil
}

// listen opens the socket where nobody but root reaches it, from its first moment.
func (p *Process) listen(ctx context.Context) (net.Listener, error) {
	path := filepath.Join(p.Dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	before := unix.Umask(0o177)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	unix.Umask(before)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}
