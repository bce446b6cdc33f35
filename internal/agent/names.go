package agent

import (
	"context"
	"path/filepath"

	"kube-router/internal/driver/nfnetlink/nfqueue"
	drv "kube-router/internal/driver/nft"
	"kube-router/internal/model"
	"kube-router/internal/plan/policy"
	"kube-router/internal/render/nft"
	"kube-router/internal/row"
	"kube-router/internal/show"
	"kube-router/internal/watch/names"
)

// learner learns what domain names stand for from the answers that pods get.
type learner struct {
	watch   *names.Watch
	answers *nfqueue.Reader
	told    uint64 // the planner's changes of patterns that the watch knows of
}

// newNames prepares it, where policies are enforced.
func (a *agent) newNames() {
	s := &a.o.Settings
	if !s.Firewall {
		return
	}
	n := &learner{answers: nfqueue.NewReader(0, nft.NamesQueue)}
	n.watch = names.New(names.Config{
		Inbox: a.inbox, Least: s.Policy.Names.Least, Grace: s.Policy.Names.Grace,
		File: filepath.Join(filepath.Dir(a.o.ControlSocket), "names"), Log: a.log,
	})
	n.answers.Heard = func(packet []byte, pass func()) { n.watch.Packet(context.Background(), packet, pass) }
	n.answers.Failed = func(err error) {
		if err != nil {
			a.log.Warn("DNS answers can't be read: domain names in policies open nothing new", "error", err)
		}
	}
	a.network.Policies.Learned = func(d *model.Domain, keys []row.NftKey) {
		n.watch.Learned(d, func(ctx context.Context) error { return a.firewall.rules.Wait(ctx, keys...) })
	}
	n.watch.Load()
	a.names = n
}

// queueing finds out how this kernel holds packets.
func (a *agent) queueing() {
	s := &a.o.Settings
	if !s.Firewall {
		return
	}
	switch native, target := drv.Queues(); {
	case native:
	case target:
		s.Policy.Names.ByTarget = true
	default:
		a.log.Warn("this kernel has no queue for packets (NFT_QUEUE): domain names in policies open nothing")
	}
}

// synced tells whether what an earlier life knew has been told.
func (n *learner) synced() bool { return n == nil || n.watch.Synced() }

// want tells which names count, when those are others.
func (n *learner) want(p *policy.Planner) {
	if n != nil && n.told != p.PatternChanges() {
		n.told = p.PatternChanges()
		n.watch.Want(p.Patterns())
	}
}

// parts are what runs beside the others. Before the first plan nobody knows which names count, and answers pass.
func (n *learner) parts(started <-chan struct{}) []part {
	if n == nil {
		return nil
	}
	return []part{{"domain names", n.watch.Run}, {"DNS answers", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-started:
		}
		return n.answers.Run(ctx)
	}}}
}

// samples are the numbers of what is learned.
func (n *learner) samples() []show.Sample {
	if n == nil {
		return nil
	}
	s := n.watch.Stats()
	list := []show.Sample{
		{Name: "policy_names", Help: "Domain names of policies that are known", Value: float64(s.Names)},
		{Name: "policy_name_addresses", Help: "Addresses that they stand for", Value: float64(s.Addrs)},
		{Name: "policy_name_barred_total", Help: "Addresses that answers told and that no name may open", Value: float64(s.Barred), Counter: true},
		{Name: "policy_name_beyond_total", Help: "Addresses that answers told beyond the bounds, and that are not opened", Value: float64(s.Beyond), Counter: true},
		{Name: "policy_name_held_total", Help: "DNS answers that waited until what they told was in force", Value: float64(s.Held), Counter: true},
		{Name: "policy_name_held_seconds_total", Help: "How long they waited together", Value: s.HeldFor.Seconds(), Counter: true},
		{Name: "policy_name_late_total", Help: "DNS answers that went on before what they told was in force", Value: float64(s.Late), Counter: true},
	}
	for result, count := range map[string]uint64{"learned": s.Learned, "known": s.Known, "others": s.Others, "unread": s.Unread} {
		list = append(list, show.Sample{Name: "policy_name_answers_total", Help: "DNS answers to pods whose policies name domains, by what became of them",
			Labels: []string{"result", result}, Value: float64(count), Counter: true})
	}
	return list
}
