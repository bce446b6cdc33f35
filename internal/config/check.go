package config

import (
	"net/netip"
	"time"

	"kube-router/internal/model"
)

// check judges settings together: what is impossible becomes a fault, what may surprise a remark.
func (d *draft) check() {
	d.checkFamilies()
	d.checkBGP()
	d.checkProcess()
	d.checkEncryption()
	if d.Settings.Balancer && d.Settings.Allocator.Namespace == "" {
		d.wrong("run-loadbalancer", true, "needs POD_NAMESPACE in the environment, the place of its lease")
	}
	if s := &d.Settings; s.Gateways && !s.Router {
		d.wrong("run-egress", true, "needs --run-router, by which packets get to the gateway")
	}
	if s := &d.Settings; s.Gateways && s.Encryption.On {
		d.wrong("run-egress", true, "not with --encryption: packets to the gateway would go there in clear")
	}
	d.remarks()
}

// checkFamilies refuses ranges of families that are not enabled, as the reference does.
func (d *draft) checkFamilies() {
	s := &d.Settings
	if d.unread["enable-ipv4"] || d.unread["enable-ipv6"] {
		return
	}
	if !s.IPv4 && !s.IPv6 {
		d.wrong("enable-ipv4", false, "no address family is left: enable IPv4 or IPv6")
	}
	if len(s.Services.ClusterRanges) > 2 {
		d.wrong("service-cluster-ip-range", s.Services.ClusterRanges, "more than two ranges")
	}
	d.checkRanges("service-cluster-ip-range", s.Services.ClusterRanges)
	d.checkRanges("service-external-ip-range", s.Services.ExternalRanges)
	d.checkRanges("loadbalancer-ip-range", s.Allocator.Ranges)
}

func (d *draft) checkRanges(flag string, ranges []netip.Prefix) {
	for _, p := range ranges {
		f := model.FamilyOf(p.Addr())
		if d.Settings.Has(f) {
			continue
		}
		why := "set it to a range of an enabled family"
		if d.given[flag] {
			why = "enable it with --enable-" + map[model.Family]string{model.IPv4: "ipv4", model.IPv6: "ipv6"}[f]
		}
		d.wrong(flag, p, "%s is not enabled; %s", f, why)
	}
}

// checkBGP judges graceful restart, whose times count only when it is on (RFC 4724: 12 bits of seconds).
func (d *draft) checkBGP() {
	b := &d.Settings.BGP
	if !b.GracefulRestart {
		return
	}
	d.checkSpan("bgp-graceful-restart-time", b.RestartTime, 4095*time.Second)
	d.checkSpan("bgp-graceful-restart-deferral-time", b.DeferralTime, 18*time.Hour)
	if b.BFD != nil {
		d.remark("--enable-bfd: with --bgp-graceful-restart a restart of the daemon stops BFD too, so peers drop our routes at once unless they honour its control plane independent bit (RFC 5882 section 4.3)")
	}
}

func (d *draft) checkSpan(flag string, v, high time.Duration) {
	if (v <= 0 || v > high) && !d.unread[flag] {
		d.wrong(flag, v, "must be greater than 0 and at most %s", high)
	}
}

// checkProcess finds two sockets in one place.
func (d *draft) checkProcess() {
	if d.Health != "" && d.healthPort == d.metricsPort && (d.healthAddr == d.metricsAddr || d.healthAddr == "" || d.metricsAddr == "") {
		d.wrong("metrics-port", d.metricsPort, "is the port of --health-port too")
	}
	if d.pprof && d.metricsPort == 6060 {
		d.wrong("metrics-port", d.metricsPort, "is the port of --enable-pprof too")
	}
	if d.ControlSocket != "" && d.ControlSocket == d.Settings.CNI.Socket {
		d.wrong("cni-socket", d.Settings.CNI.Socket, "is the path of --control-socket too")
	}
}

// remarks names settings that do not do what one may think.
func (d *draft) remarks() {
	s := &d.Settings
	ends := s.Services.Engine != model.EngineAuto && !s.Services.Engine.Can().OwnTimeouts // connections end by themselves
	for _, r := range []struct {
		when bool
		text string
	}{
		{ends && (d.given["service-tcp-timeout"] || d.given["service-tcpfin-timeout"] || d.given["service-udp-timeout"]),
			"--service-*-timeout: only the ipvs engine has them; nftables uses the kernel's connection tracking timeouts"},
		{ends && s.Services.Graceful,
			"--ipvs-graceful-termination: the nftables engine always lets connections of a removed endpoint end by themselves"},
		{s.Services.NodePortAll && len(s.Services.NodePortAddresses) > 0,
			"--nodeport-bindon-all-ip: --nodeport-addresses is narrower and wins"},
		{s.Proxy && !s.Services.StrictExternal,
			"--strict-external-ip-validation=false: whoever may create a Service can claim any address (CVE-2020-8554)"},
		{s.BGP.AdvertiseExternal && s.Services.StrictExternal && len(s.Services.ExternalRanges) == 0,
			"--advertise-external-ip: without --service-external-ip-range no external address is accepted, so none is advertised"},
		{s.Balancer && len(s.Allocator.Ranges) == 0,
			"--run-loadbalancer: without --loadbalancer-ip-range addresses are given from AddressPools (kube-router.io/v1alpha1) alone"},
		{s.BGP.AdvertiseLB && !s.Balancer && s.Services.StrictExternal && len(s.Allocator.Ranges) == 0,
			"--advertise-loadbalancer-ip: without --loadbalancer-ip-range or an AddressPool no load balancer address is accepted, so none is advertised"},
		{s.CNI.Plugin == model.PluginOwn && !s.OwnsNetwork(), "--cni-plugin=own: does nothing without --run-router and --enable-cni: the CNI file isn't ours"},
		{s.Policy.DefaultDeny && !s.Firewall, "--netpol-default-deny: does nothing with --run-firewall=false"},
		{d.useNft, "--use-nftables-for-netpol: nftables is always used"},
		{s.BGP.AdminPort != 0 && s.BGP.AdminAddr.IsValid() && !s.BGP.AdminAddr.IsLoopback(),
			"--gobgp-admin-address: the gRPC has no authentication; whoever reaches this address can read the node's routes and peers (GHSA-v5mh-h5hx-7v92)"},
		{d.given["peer-router-passwords"], "--peer-router-passwords: everybody on the host can read a command line; --peer-router-passwords-file is better"},
		{d.given["peer-router-passwords"] && d.peers.file != "", "--peer-router-passwords-file: not read, --peer-router-passwords wins"},
		{d.peers.hops > 0 && d.peers.ttl > 1, "--peer-router-multihop-ttl: --peer-router-ttl-security wins, by which packets are sent with a TTL of 255"},
		{d.peers.ttl == 1, "--peer-router-multihop-ttl: 1 is the same as off"},
		{s.Encryption.Strict && !s.Encryption.On, "--encryption-strict: does nothing with --encryption=off"},
		{s.Encryption.On && s.Routes.Overlay && (d.given["overlay-type"] || d.given["overlay-encap"] || d.given["enable-overlay"]), "--enable-overlay: between nodes that encrypt, WireGuard takes the place of tunnels, in every subnet; nodes without a key are reached as without encryption"},
		{s.Balancer && d.Nothing(), "--run-loadbalancer: alone it counts as nothing enabled, so the daemon exits at once, as kube-router v2 does"},
	} {
		if r.when {
			d.remark("%s", r.text)
		}
	}
}
