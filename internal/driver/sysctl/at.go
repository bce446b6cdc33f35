package sysctl

// At makes the driver write below another folder than /proc/sys: a container's own is read-only, so its
// manifest mounts the host's beside it. Settings of the network follow the namespace of whoever opens them,
// wherever they are mounted.
func (d *Driver) At(root string) *Driver {
	d.root = root
	return d
}
