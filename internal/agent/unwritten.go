package agent

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kube-router/internal/model"
)

// unwrittenAfter is how long rows of policies must have failed before others hear of it: most are written at the next try.
const unwrittenAfter = 30 * time.Second

// unwritten tells the model whose rows can't be written, once that has been so for a while. Failing rows are tried again within half a minute, so
// that a step comes when it is time to tell.
func (a *agent) unwritten(t table) {
	if t.kind != ruleTable || !a.o.Settings.Firewall {
		return
	}
	s, now := t.lane.Status(), &model.Unwritten{}
	now.All = s.Broken != "" && time.Since(s.Since) >= unwrittenAfter
	for _, f := range s.Failing {
		if f.Owner != "" && time.Since(f.Since) >= unwrittenAfter {
			now.Owners = append(now.Owners, f.Owner)
		}
	}
	slices.Sort(now.Owners)
	now.Owners = slices.Compact(now.Owners)
	if now.All == a.lacks.All && slices.Equal(now.Owners, a.lacks.Owners) {
		return
	}
	if a.lacks = now; !now.All && len(now.Owners) == 0 {
		a.inbox.Delete(now.Ref())
		return
	}
	a.inbox.Put(now)
}

// apiPort is the port of the API server that the daemon asks, which this node must be able to reach; 0: it can't be told.
func apiPort(host string) model.Port {
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	u, err := url.Parse(host)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err == nil:
		return model.Port(n)
	case u.Scheme == "http":
		return 80
	}
	return 443
}
