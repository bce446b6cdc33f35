package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"kube-router/internal/api/clusterapi"
	"kube-router/internal/config"
	"kube-router/internal/model"
	"kube-router/internal/watch/kube"
)

// right is something that we ask of the API.
type right struct{ verb, group, resource, sub string }

// String prints the right as kubectl auth can-i takes it.
func (r right) String() string {
	s := r.verb + " " + r.resource
	if r.group != "" {
		s += "." + r.group
	}
	if r.sub != "" {
		s += "/" + r.sub
	}
	return s
}

// apiFacts are what the API server answered.
type apiFacts struct {
	err     error // it could not be asked at all
	node    *model.Node
	nodeErr error
	denied  []right
	unasked error // rights could not be asked
}

// rights are all that the settings need.
func rights(s *model.Settings) []right {
	var list []right
	for _, r := range kube.Resources(*s) {
		list = append(list, right{"list", r.Group, r.Resource, ""}, right{"watch", r.Group, r.Resource, ""})
	}
	list = append(list, right{"create", "events.k8s.io", "events", ""})
	if s.Router {
		list = append(list, right{"patch", "kube-router.io", "bgppeers", "status"}, right{"patch", "kube-router.io", "bgpadvertisements", "status"})
	}
	if s.Firewall {
		list = append(list, right{"patch", clusterapi.Group, clusterapi.Resource, "status"}, right{"create", "kube-router.io", "policystatuses", ""},
			right{"patch", "kube-router.io", "policystatuses", "status"}, right{"patch", "", "nodes", "status"})
	}
	if s.OwnsNetwork() {
		list = append(list, right{"get", "", "nodes", ""}, right{"patch", "", "nodes", "status"})
	}
	if s.Balancer {
		list = append(list, right{"get", "", "services", ""}, right{"update", "", "services", "status"}, right{"patch", "kube-router.io", "addresspools", "status"}, right{"create", "coordination.k8s.io", "leases", ""})
	}
	return list
}

// gatherAPI asks the API server who we are to it.
func gatherAPI(ctx context.Context, o *config.Options) apiFacts {
	c, err := kube.Config(o.Kubeconfig, o.Master, "kube-router/doctor")
	if err != nil {
		return apiFacts{err: err}
	}
	core, err := apiClient(c, "/api", corev1.SchemeGroupVersion)
	if err != nil {
		return apiFacts{err: err}
	}
	auth, err := apiClient(c, "/apis", authv1.SchemeGroupVersion)
	if err != nil {
		return apiFacts{err: err}
	}
	var facts apiFacts
	// A list, since every daemon may list Nodes and not every one may get one.
	var nodes corev1.NodeList
	err = core.Get().Resource("nodes").Param("fieldSelector", "metadata.name="+o.Settings.Node).Do(ctx).Into(&nodes)
	if status := apierrors.APIStatus(nil); err != nil && !errors.As(err, &status) {
		return apiFacts{err: err} // no answer at all
	}
	for i := range nodes.Items {
		if nodes.Items[i].Name == o.Settings.Node {
			facts.node = kube.ConvertNode(&nodes.Items[i])
		}
	}
	if facts.nodeErr = err; err == nil && facts.node == nil {
		facts.nodeErr = errors.New("the API server does not know it")
	}
	for _, r := range rights(&o.Settings) {
		review := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authv1.ResourceAttributes{Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.sub},
		}}
		err := auth.Post().Resource("selfsubjectaccessreviews").Body(review).Do(ctx).Into(review)
		if err != nil {
			facts.unasked = err
			break
		}
		if !review.Status.Allowed {
			facts.denied = append(facts.denied, r)
		}
	}
	return facts
}

func apiClient(base *rest.Config, path string, gv schema.GroupVersion) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), authv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c := rest.CopyConfig(base)
	c.GroupVersion, c.APIPath, c.QPS = &gv, path, -1
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType = runtime.ContentTypeJSON
	return rest.RESTClientFor(c)
}

func checkAPI(p *patient) []finding {
	a := p.api
	if a.err != nil {
		return []finding{{bad, "API server", "no answer: " + a.err.Error(), "check --kubeconfig or --master; without kube-proxy the API server must be reached at its own address"}}
	}
	list := []finding{{fine, "API server", "answers", ""}}
	switch {
	case a.unasked != nil:
		list = append(list, finding{warn, "API rights", "can't be asked: " + a.unasked.Error(), ""})
	case len(a.denied) > 0:
		var names []string
		for _, r := range a.denied {
			names = append(names, r.String())
		}
		list = append(list, finding{bad, "API rights", "may not " + strings.Join(names, ", "), "apply the ClusterRole of deploy/"})
	default:
		list = append(list, finding{fine, "API rights", "all that these settings need", ""})
	}
	return list
}

// checkNode judges the Node object that we are.
func checkNode(p *patient) []finding {
	n := p.api.node
	switch {
	case p.api.err != nil:
		return nil
	case n == nil:
		return []finding{{bad, "node", fmt.Sprintf("no Node %q: %v", p.s.Node, p.api.nodeErr), "--hostname-override or NODE_NAME must be the Node's name"}}
	}
	var list []finding
	for _, f := range p.s.Families() {
		if a := n.IP(f); !a.IsValid() {
			list = append(list, finding{bad, "node address", "the Node has no " + f.String() + " address", "kubelet --node-ip; or switch the family off"})
		} else if p.model.LinkWith(a) == nil {
			list = append(list, finding{bad, "node address", a.String() + " is on no link of this node", "kubelet --node-ip must name an address of this machine"})
		}
		if p.s.Router && !hasRange(n, f) {
			list = append(list, finding{bad, "pod CIDR", "the Node has no " + f.String() + " pod CIDR",
				"kube-controller-manager --allocate-node-cidrs with --cluster-cidr; or the annotation kube-router.io/pod-cidrs"})
		}
	}
	if len(list) == 0 {
		list = append(list, finding{fine, "node", fmt.Sprintf("%s with addresses %v and pod CIDRs %v", n.Name, n.InternalIPs, n.PodCIDRs), ""})
	}
	return list
}

func hasRange(n *model.Node, f model.Family) bool {
	for _, p := range n.PodCIDRs {
		if model.FamilyOf(p.Addr()) == f {
			return true
		}
	}
	return false
}
