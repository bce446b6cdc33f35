package wireguard

import (
	"errors"
	"fmt"
	"os"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"kube-router/internal/row"
)

// engine is one implementation of WireGuard. Its errors are os.ErrNotExist where there is no such device.
type engine interface {
	device() (*wgtypes.Device, error)
	configure(wgtypes.Config) error
}

// kernel is WireGuard in the kernel, over generic netlink.
type kernel struct{}

func (kernel) device() (*wgtypes.Device, error) {
	var d *wgtypes.Device
	err := with(func(c *wgctrl.Client) (err error) {
		d, err = c.Device(row.WireName)
		return err
	})
	return d, err
}

func (kernel) configure(conf wgtypes.Config) error {
	return with(func(c *wgctrl.Client) error { return c.ConfigureDevice(row.WireName, conf) })
}

// with opens a socket for one question: a socket belongs to the network namespace of the thread that opened it, and questions are few.
func with(f func(*wgctrl.Client) error) error {
	c, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("open WireGuard: %w", err)
	}
	defer c.Close()
	return f(c)
}

// either is whichever of the two has the device: a process that answers on its socket, else the kernel.
type either struct{ user user }

func (e either) device() (*wgtypes.Device, error) {
	d, err := e.user.device()
	if errors.Is(err, os.ErrNotExist) {
		return kernel{}.device()
	}
	return d, err
}

func (e either) configure(c wgtypes.Config) error {
	err := e.user.configure(c)
	if errors.Is(err, os.ErrNotExist) {
		return kernel{}.configure(c)
	}
	return err
}
