package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"kube-router/internal/model"
)

// draft is Options under construction, with the values that several flags make together.
type draft struct {
	Options
	file                    string
	pprof, useNft           bool
	noSourceDestCheck       bool
	healthAddr, metricsAddr string
	healthPort, metricsPort uint16
	nodePorts               ports
	ibgpFile                string
	encryption              string
	peers                   peers
	bfd                     bfd
	faults                  []error
	given                   map[string]bool // flags said on the command line or in the file
	unread                  map[string]bool // flags whose value could not be understood
	env                     func(string) string
	readFile                func(string) ([]byte, error)
}

// peers are the --peer-router-* flags.
type peers struct {
	addrs     []netip.Addr
	asns      []model.ASN
	ports     []model.Port
	passwords []model.Secret
	file      string
	ttl       uint8
	hops      uint8 // --peer-router-ttl-security
}

// bfd are the --bfd-* flags; intervals are in milliseconds.
type bfd struct {
	on                       bool
	port, multiplier, tx, rx uint32
}

// bad is one text that could not be understood.
type bad struct {
	text string
	err  error
}

// reader puts the texts given for a flag where they belong.
type reader func(d *draft, texts []string) []bad

// one reads a flag of one value: the last one said counts, and each must be valid.
func one[T any](at func(*draft) *T, parse func(string) (T, error)) reader {
	return func(d *draft, texts []string) (all []bad) {
		for _, s := range texts {
			v, err := parse(s)
			if err != nil {
				all = append(all, bad{s, err})
				continue
			}
			*at(d) = v
		}
		return all
	}
}

// many reads a flag of several values, from every use of it and between commas.
func many[T any](at func(*draft) *[]T, parse func(string) (T, error)) reader {
	return func(d *draft, texts []string) (all []bad) {
		for _, s := range texts {
			list, err := split(s)
			if err != nil {
				all = append(all, bad{s, err})
			}
			for _, e := range list {
				v, err := parse(e)
				if err != nil {
					all = append(all, bad{e, err})
					continue
				}
				*at(d) = append(*at(d), v)
			}
		}
		return all
	}
}

// fault notes what is wrong with a flag's value; a secret value is left out.
func (d *draft) fault(f *Flag, text, where string, err error) {
	d.unread[f.Name] = true
	if f.Secret {
		text = "(secret)"
	} else {
		text = strconv.Quote(text)
	}
	if where != "" {
		where = " (" + where + ")"
	}
	d.faults = append(d.faults, fmt.Errorf("--%s %s%s: %w", f.Name, text, where, err))
}

// wrong notes a fault that parsing alone could not find.
func (d *draft) wrong(flag string, value any, format string, args ...any) {
	d.faults = append(d.faults, fmt.Errorf("--%s %q: %s", flag, fmt.Sprint(value), fmt.Sprintf(format, args...)))
}

// remark notes something that is valid but may surprise.
func (d *draft) remark(format string, args ...any) {
	d.Remarks = append(d.Remarks, fmt.Sprintf(format, args...))
}

// Options judges everything that was said and returns the settings, or all faults together. env is
// os.Getenv and readFile os.ReadFile, or a test's.
func (r *Raw) Options(env func(string) string, readFile func(string) ([]byte, error)) (*Options, error) {
	d := r.draft(env, readFile)
	if len(d.faults) > 0 {
		return nil, errors.Join(d.faults...)
	}
	return &d.Options, nil
}

// draft reads file, flags and environment, and checks what they say together.
func (r *Raw) draft(env func(string) string, readFile func(string) ([]byte, error)) *draft {
	d := &draft{given: map[string]bool{}, unread: map[string]bool{}, env: env, readFile: readFile}
	said := r.said(d)
	for _, f := range Table() {
		s := said[f.Name]
		d.given[f.Name] = s.source != ""
		if !f.Process {
			d.Said = append(d.Said, Said{f.Name, shown(&f, s), orElse(s.source, "default")})
		}
		for _, b := range f.read(d, s.texts) {
			d.fault(&f, b.text, s.source, b.err)
		}
	}
	d.oldRemarks(r.old)
	d.assemble()
	d.check()
	return d
}

// assemble fills in what several flags, the environment and files make together.
func (d *draft) assemble() {
	s := &d.Settings
	s.Services.NodePortFirst, s.Services.NodePortLast = d.nodePorts.first, d.nodePorts.last
	s.Services.ClusterGiven = d.given["service-cluster-ip-range"]
	s.Routes.SourceDestCheck = !d.noSourceDestCheck
	s.CNI.File = orElse(d.env("KUBE_ROUTER_CNI_CONF_FILE"), "/etc/cni/net.d/10-kuberouter.conflist")
	d.ProcSys = orElse(d.env("KUBE_ROUTER_PROC_SYS"), "/proc/sys")
	s.Node = d.node()
	s.Allocator.Identity = orElse(d.env("POD_NAME"), s.Node)
	s.Allocator.Namespace = d.namespace()
	s.BGP.IBGPPassword = d.ibgpPassword()
	s.BGP.BFD = d.bfd.session(d)
	s.BGP.Peers = d.peers.list(d)
	d.Health = socketAddr(d.healthAddr, d.healthPort)
	d.Metrics = socketAddr(d.metricsAddr, d.metricsPort)
	for _, p := range []uint16{d.healthPort, d.metricsPort} {
		if p != 0 {
			s.Listens = append(s.Listens, model.Port(p))
		}
	}
	if d.pprof {
		d.Pprof = "127.0.0.1:6060"
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// socketAddr is what net.Listen takes, or empty for port 0.
func socketAddr(addr string, port uint16) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort(addr, strconv.Itoa(int(port)))
}

// node is the name of our Node: the flag, NODE_NAME, or the host's name, which kubelet lower-cases.
func (d *draft) node() string {
	if d.Settings.Node != "" {
		return d.Settings.Node
	}
	name, from := d.env("NODE_NAME"), "NODE_NAME"
	if name == "" {
		text, err := d.readFile("/proc/sys/kernel/hostname")
		if err != nil {
			d.faults = append(d.faults, fmt.Errorf("--hostname-override: not given, no NODE_NAME, and the host's name is unknown: %w", err))
			return ""
		}
		name, from = strings.ToLower(strings.TrimSpace(string(text))), "the host's name"
	}
	if _, err := nodeName(name); err != nil || name == "" {
		d.wrong("hostname-override", name, "taken from %s: not a node name", from)
	}
	return name
}

// namespace is where the allocator's lease lives: POD_NAMESPACE, or the service account's.
func (d *draft) namespace() string {
	if ns := d.env("POD_NAMESPACE"); ns != "" {
		return ns
	}
	text, err := d.readFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
