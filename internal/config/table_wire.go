package config

import (
	"time"

	"kube-router/internal/model"
)

// The words of --encryption.
const (
	encryptionOff = "off"
	encryptionOn  = "wireguard"
)

func wireFlags() []Flag {
	e := func(d *draft) *model.EncryptionSettings { return &d.Settings.Encryption }
	return []Flag{
		{Name: "encryption", Type: "string", Default: encryptionOff, Ours: true, read: one(func(d *draft) *string { return &d.encryption }, oneOf(encryptionOff, encryptionOn)),
			Usage: "wireguard: what pods send to other nodes and their pods, and what these send to them, is encrypted; keys make themselves."},
		{Name: "encryption-strict", Type: "bool", Default: "false", Ours: true, read: one(func(d *draft) *bool { return &e(d).Strict }, boolean),
			Usage: "Drop what would go to another node's pods in clear, or come from them; needs --cluster-cidr. Switch it on once every node encrypts."},
		{Name: "wireguard-port", Type: "uint16", Default: "51890", Ours: true, read: one(func(d *draft) *model.Port { return &e(d).Port }, number[model.Port](1, 65535)),
			Usage: "UDP port of WireGuard on this node; others learn it from the Node."},
		{Name: "wireguard-key-file", Type: "string", Default: "/var/lib/kube-router/wireguard.key", Ours: true, read: one(func(d *draft) *string { return &e(d).KeyFile }, anyText),
			Usage: "File with this node's private key, made when it is missing; only root may read it."},
		{Name: "wireguard-rotate-every", Type: "duration", Default: "0", Ours: true, read: one(func(d *draft) *time.Duration { return &e(d).Rotate }, within(0, 0)),
			Usage: "How old this node's key may become before it is changed, or up to a tenth less; at least 1h. 0: any age."},
		{Name: "wireguard-userspace", Type: "string", Default: string(model.WireAuto), Ours: true,
			read:  one(func(d *draft) *model.WireMode { return &e(d).Where }, oneOf(model.WireAuto, model.WireKernel, model.WireUser)),
			Usage: "Whether a process carries WireGuard in place of the kernel: auto: where the kernel has none; always; never."},
	}
}

// checkEncryption judges what is said about encryption.
func (d *draft) checkEncryption() {
	s := &d.Settings
	e := &s.Encryption
	e.On = d.encryption == encryptionOn
	if !e.On {
		return
	}
	if !s.Router && !d.unread["run-router"] {
		d.wrong("encryption", d.encryption, "needs --run-router: who routes to other nodes encrypts")
	}
	if e.KeyFile == "" || e.KeyFile[0] != '/' {
		d.wrong("wireguard-key-file", e.KeyFile, "must be an absolute path")
	}
	if e.Rotate != 0 && e.Rotate < time.Hour {
		d.wrong("wireguard-rotate-every", e.Rotate, "must be 0 or 1h at least")
	}
	if e.Port == s.Routes.OverlayPort && s.Routes.Overlay && s.Routes.OverlayEncap == "fou" {
		d.wrong("wireguard-port", e.Port, "is the port of --overlay-encap-port too")
	}
	if !e.Strict {
		return
	}
	for _, f := range s.Families() {
		covered := false
		for _, p := range s.Routes.ClusterCIDRs {
			covered = covered || model.FamilyOf(p.Addr()) == f
		}
		if !covered && !d.unread["cluster-cidr"] {
			d.wrong("encryption-strict", true, "needs --cluster-cidr with a range of %s: a node that is not known yet has pods too", f)
		}
	}
}
