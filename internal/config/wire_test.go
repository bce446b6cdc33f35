package config

import (
	"strings"
	"testing"
	"time"

	"kube-router/internal/model"
)

func wireCases() []flagCase {
	on := func(change func(*model.EncryptionSettings)) func(*Options) {
		return func(o *Options) { change(&o.Settings.Encryption) }
	}
	return []flagCase{
		{"encryption", "--enable-overlay=false", "wireguard", func(o *Options) { o.Settings.Encryption.On, o.Settings.Routes.Overlay = true, false }, []string{"", "on", "ipsec", "WireGuard"}},
		{"encryption-strict", "--encryption=wireguard --enable-overlay=false --cluster-cidr=10.244.0.0/16", "true", func(o *Options) {
			o.Settings.Encryption.On, o.Settings.Encryption.Strict = true, true
			o.Settings.Routes.Overlay, o.Settings.Routes.ClusterCIDRs = false, cidrs("10.244.0.0/16")
		}, badBool},
		{"wireguard-port", "", "51999", on(func(e *model.EncryptionSettings) { e.Port = 51999 }), append([]string{"0"}, badPort16...)},
		{"wireguard-rotate-every", "", "720h", on(func(e *model.EncryptionSettings) { e.Rotate = 720 * time.Hour }), nil},
		{"wireguard-key-file", "", "/etc/key", on(func(e *model.EncryptionSettings) { e.KeyFile = "/etc/key" }), nil},
		{"wireguard-userspace", "", "always", on(func(e *model.EncryptionSettings) { e.Where = model.WireUser }), []string{"", "yes"}},
	}
}

// TestEncryptionNeeds are settings that can't stand together.
func TestEncryptionNeeds(t *testing.T) {
	for args, want := range map[string]string{
		"--encryption=wireguard --run-router=false":                                                        "needs --run-router",
		"--encryption=wireguard --wireguard-rotate-every=59m":                                              "must be 0 or 1h at least",
		"--encryption=wireguard --wireguard-key-file=key":                                                  "must be an absolute path",
		"--encryption=wireguard --encryption-strict":                                                       "needs --cluster-cidr with a range of IPv4",
		"--encryption=wireguard --encryption-strict --enable-ipv6 --cluster-cidr=10.0.0.0/8":               "needs --cluster-cidr with a range of IPv6",
		"--encryption=wireguard --overlay-encap=fou --overlay-encap-port=51890":                            "is the port of --overlay-encap-port too",
		"--encryption=wireguard --encryption-strict --cluster-cidr=10.0.0.0/8 --service-cluster-ip-range=": "",
	} {
		_, err := parse(t, caseHost(), strings.Fields(args)...)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
