package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"kube-router/internal/api"
	"kube-router/internal/model"
)

// ownResource is the resource of one of our own kinds. S is the spec that its conversion takes.
func ownResource[S any, M model.Object](k model.Kind, kind api.Kind, convert func(*metav1.ObjectMeta, *S, *remarks) M) resource {
	return resource{kind: k, group: api.Version, name: kind.Resource, example: example[api.Raw], custom: true, convert: func(o any) (model.Object, bool) {
		raw, ok := o.(*api.Raw)
		if !ok {
			return nil, false
		}
		r := &remarks{object: model.Ref{Kind: k, Name: model.Name{Namespace: raw.Namespace, Name: raw.Name}}}
		return convert(&raw.ObjectMeta, decodeSpec[S](r, raw.Spec), r), true
	}}
}

// decodeSpec reads a spec. A field that has another type, or another name, than we know is a remark on its object; the others count
// nevertheless. The API server refuses most of that, but perhaps by the definition of another version.
func decodeSpec[S any](r *remarks, raw json.RawMessage) *S {
	spec := new(S)
	if len(raw) == 0 {
		return spec
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		r.add("spec", "ignored: %s", err)
		return spec
	}
	for name, value := range fields {
		one, _ := json.Marshal(map[string]json.RawMessage{name: value}) // each of them was valid JSON
		d := json.NewDecoder(bytes.NewReader(one))
		d.DisallowUnknownFields()
		next := *spec
		if err := d.Decode(&next); err != nil {
			r.add("spec."+name, "ignored: %s", strings.TrimPrefix(err.Error(), "json: "))
			continue
		}
		*spec = next
	}
	return spec
}

// group knows whether the API server serves our kinds. Who has not installed them pays one cached answer now and then for all of them.
type group struct {
	client   rest.Interface
	versions []schema.GroupVersion // by any of which a resource may be served; none: it is Kubernetes' own, and there
	every    time.Duration         // between two questions

	mu    sync.Mutex
	asked time.Time
	has   map[string]bool // by resource; nil: not known
}

// askGroupEvery is how soon kinds that are installed while the daemon runs are noticed.
const askGroupEvery = 20 * time.Second

// serves tells whether a resource of the group is there. When that is not to be learned the kind itself is asked.
func (g *group) serves(ctx context.Context, resource string) bool {
	if len(g.versions) == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.has == nil || time.Since(g.asked) >= g.every/2 {
		has := map[string]bool{}
		for _, v := range g.versions {
			var list metav1.APIResourceList
			raw, err := g.client.Get().AbsPath("/apis/" + v.String()).Do(ctx).Raw()
			switch {
			case apierrors.IsNotFound(err):
			case err != nil || json.Unmarshal(raw, &list) != nil:
				return true
			}
			for _, r := range list.APIResources {
				has[r.Name] = true
			}
		}
		g.has, g.asked = has, time.Now()
	}
	return g.has[resource]
}

// absent tells whether an answer means that the kind isn't there for us: nobody installed it or, after an update of the image alone, nobody
// gave us the right to read it. EgressGateways that we may not read aren't absent: their pods would leave with other addresses. A denial of
// what we have read before changes nothing: what is known stays in force.
func (s *source) absent(err error) bool {
	s.mu.Lock()
	had := s.had
	s.mu.Unlock()
	return s.resource.custom && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err) && !had && s.resource.kind != model.KindEgress)
}

// nothing is the list of a kind that isn't there. The denial is told once: an object that is there and not heeded would be a riddle.
func (s *source) nothing(why error) runtime.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing == "" && apierrors.IsForbidden(why) {
		s.log.Warn("objects of this kind are ignored: reading them is forbidden", "kind", s.resource.kind, "error", why)
	}
	s.missing, s.had = why.Error(), false
	return &api.RawList{ListMeta: metav1.ListMeta{ResourceVersion: "0"}}
}

// isMissing tells whether the last answer was that the kind isn't there.
func (s *source) isMissing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missing != ""
}

// found notes that the kind is there.
func (s *source) found() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing != "" {
		s.log.Info("objects of this kind are read from now on", "kind", s.resource.kind)
	}
	s.missing, s.had = "", true
}

// await is the watch of a kind that isn't there. It ends, by the error that asks for a new list, when the group has the kind; where we were
// denied it, after ten times as long.
func (s *source) await(ctx context.Context) watch.Interface {
	ctx, cancel := context.WithCancel(ctx)
	w := &stream{source: s, out: make(chan watch.Event), ctx: ctx, stop: cancel}
	go func() {
		defer cancel()
		defer close(w.out)
		for i := 1; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.own.every/2 + rand.N(s.own.every)):
			}
			if s.own.serves(ctx, s.resource.name) && (!s.denied() || i%10 == 0) {
				break
			}
		}
		select {
		case <-ctx.Done():
		case w.out <- watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("the kind is there now").ErrStatus}:
		}
	}()
	return w
}

// denied tells whether the kind may be there, and we may not read it.
func (s *source) denied() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.missing, "forbidden")
}

// addrRange reads a block, a range or a single address.
func addrRange(text string) (model.AddrRange, error) {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "/") {
		p, err := parsePrefix(text)
		return model.RangeOf(p), err
	}
	from, to, two := strings.Cut(text, "-")
	if !two {
		to = from
	}
	first, err := parseAddr(from)
	if err != nil {
		return model.AddrRange{}, err
	}
	last, err := parseAddr(to)
	switch {
	case err != nil:
		return model.AddrRange{}, err
	case first.BitLen() != last.BitLen() || last.Less(first):
		return model.AddrRange{}, fmt.Errorf("%q ignored: %s does not come after %s", text, last, first)
	}
	return model.AddrRange{First: first, Last: last}, nil
}

// selectorOr reads an optional selector; one that is absent selects everything.
func selectorOr(r *remarks, field string, o *metav1.LabelSelector) model.Selector {
	if o == nil {
		return model.Selector{}
	}
	return selector(r, field, o)
}
