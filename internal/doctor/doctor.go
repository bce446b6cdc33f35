// Package doctor examines a node: what its kernel, settings, files, other programs and the API server offer, judged by what
// the settings ask for, and what the running daemon finds wrong itself. It is a process of its own beside the daemon, and
// changes nothing.
//
// Facts are gathered first (gather) and then judged (examine), so that every judgement is tested without a node.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/config"
	"kube-router/internal/console"
	"kube-router/internal/driver/forward"
	"kube-router/internal/driver/module"
	"kube-router/internal/driver/probe"
	"kube-router/internal/driver/takeover"
	"kube-router/internal/model"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/watch/host"
)

// verdict is what the doctor thinks of one thing.
type verdict string

const (
	fine verdict = "ok"
	warn verdict = "warn" // works, but not all of it or not well
	bad  verdict = "bad"  // something that was asked for can't work
)

// finding is one thing that was looked at.
type finding struct {
	Verdict verdict `json:"verdict"`
	Check   string  `json:"check"`
	What    string  `json:"what"`
	Fix     string  `json:"fix,omitempty"`
}

// patient are all facts about a node, gathered before anything is judged.
type patient struct {
	s         *model.Settings
	socket    string // the control socket
	running   bool   // a daemon answers there
	daemon    daemonFacts
	proxy     bool // kube-proxy answers, wherever it runs
	kernel    map[probe.Facility]error
	kernelErr error
	node      *probe.Node
	nodeErr   error
	leftovers []row.Leftover
	atSocket  socketFacts
	model     *model.Model // with this node's links and, if the API gave it, its Node object
	api       apiFacts
}

// pluginDir is where every container runtime looks for CNI plugins. The manifests mount the host's folder below /host.
const pluginDir = "/opt/cni/bin"

func pluginsOfHost() string {
	if _, err := os.Stat("/host" + pluginDir); err == nil {
		return "/host" + pluginDir
	}
	return pluginDir
}

// Examine checks what this node needs and says how to fix what is missing; for people what is well is listed only with all. The number is that of
// what is wrong.
func Examine(ctx context.Context, o *config.Options, all bool) (show.Page, int) {
	return report(examine(gather(ctx, o)), all)
}

// Running are the options of the daemon that answers at a control socket, without its secrets.
func Running(ctx context.Context, socket string) (*config.Options, error) {
	o := &config.Options{}
	_, err := show.AskInto(ctx, socket, "settings", nil, o)
	return o, err
}

// report makes a page of findings, with the number of bad ones.
func report(list []finding, all bool) (show.Page, int) {
	// Whoever looks at night sees first what is wrong.
	worst := []verdict{bad, warn, fine}
	slices.SortStableFunc(list, func(a, b finding) int {
		return cmp.Compare(slices.Index(worst, a.Verdict), slices.Index(worst, b.Verdict))
	})
	p := show.Page{Columns: []string{"verdict", "check", "what, and → how to fix it"}, Data: list}
	count, room, shown := map[verdict]int{}, console.Width, []finding{}
	for _, f := range list {
		if count[f.Verdict]++; f.Verdict != fine || all {
			shown = append(shown, f)
			room = min(room, console.Room("verdict", f.Check))
		}
	}
	for _, f := range shown {
		p.Rows = append(p.Rows, console.Finding([]string{string(f.Verdict), f.Check}, f.What, f.Fix, room)...)
	}
	p.Note = fmt.Sprintf("%s: %d ok, %d warn, %d bad", show.Count(len(list), "check"), count[fine], count[warn], count[bad])
	return p, count[bad]
}

// examine judges everything.
func examine(p *patient) []finding {
	var list []finding
	for _, check := range []func(*patient) []finding{
		checkDaemon, checkSessions, checkEncryption, checkKernel, checkSocket, checkSettings, checkOthers, checkLeftovers, checkMTU, checkBridge, checkCNI, checkAPI, checkNode,
	} {
		list = append(list, check(p)...)
	}
	return list
}

// gather collects the facts. What can't be found out is a fact as well.
func gather(ctx context.Context, o *config.Options) *patient {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	p := &patient{s: &o.Settings, socket: o.ControlSocket, model: model.New(o.Settings)}
	p.daemon, p.running = askDaemon(ctx, o.ControlSocket)
	p.proxy = proxyAnswers(ctx)
	gatherLinks(ctx, p.model)
	p.api = gatherAPI(ctx, o)
	if p.api.node != nil {
		p.model.Put(p.api.node)
	}
	m, err := loadedOnly(p.running)
	if err != nil {
		p.kernelErr = err
		return p
	}
	p.kernel, p.kernelErr = probe.Kernel(m)
	p.atSocket = lookSocket(p.s)
	p.node, p.nodeErr = probe.Look("/proc", cmp.Or(o.ProcSys, "/proc/sys"), settingsOf(p.model), pluginsOfHost(), filepath.Dir(o.Settings.CNI.File))
	if m.Safe("nf_tables") {
		list, err := forward.Look()
		p.nodeErr = errors.Join(p.nodeErr, err)
		for _, c := range list {
			chain := model.ForwardChain(c)
			p.model.Put(&chain)
		}
	}
	if d, err := takeover.New(netns.None(), m.Safe); err == nil {
		defer d.Close()
		found, err := d.Dump(ctx)
		p.nodeErr = errors.Join(p.nodeErr, err)
		for _, l := range found {
			p.leftovers = append(p.leftovers, l)
		}
	}
	return p
}

// modulesHere are the kernel's modules as a doctor sees them who loads none.
type modulesHere struct {
	*module.Loader
	used bool // a daemon runs here
}

// loadedOnly are the modules that may be used without loading any.
func loadedOnly(used bool) (modulesHere, error) {
	l, err := module.New()
	return modulesHere{l, used}, err
}

// Safe is true where using what the module brings loads nothing. A daemon that runs uses nftables and conntrack, which
// some kernels have built in without a word of it where the modules' folder is not mounted.
func (m modulesHere) Safe(name string) bool {
	return m.Loader.Safe(name) || m.used && (strings.HasPrefix(name, "nf"))
}

// firstLinks takes the first picture of links and ends the watch.
type firstLinks struct {
	m    *model.Model
	done func()
}

// Put takes nothing: only the first picture counts.
func (firstLinks) Put(model.Object) {}

// Delete takes nothing.
func (firstLinks) Delete(model.Ref) {}

// Replace takes the first picture.
func (f firstLinks) Replace(_ model.Kind, objects []model.Object) {
	for _, o := range objects {
		f.m.Put(o)
	}
	f.done()
}

// gatherLinks reads this node's links as the daemon does.
func gatherLinks(ctx context.Context, m *model.Model) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// An error leaves the model without links, which is what the checks then tell.
	_ = host.New(netns.None(), firstLinks{m, cancel}).Run(ctx)
}
