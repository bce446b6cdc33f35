//go:build policy

package policy

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab/netpol"
)

// recipe is a policy as people write it, with one flow that it allows and one that it doesn't, by hand: so
// that the judge of words is judged too. All other flows are compared with the judge.
type recipe struct {
	name  string
	allow string // "FROM TO PORT/PROTOCOL"; empty: nothing to say
	deny  string
	spec  string
}

// The policies stand in namespace x unless they say else. {x/a} is the pod's IPv4 address, {x/a6} its IPv6
// address, and so on for {outside}.
var recipes = []recipe{
	{"deny all ingress", "x/a y/a 80/TCP", "y/a x/a 80/TCP", `spec: {podSelector: {}, policyTypes: [Ingress]}`},
	{"deny all ingress by default types", "", "x/b x/a 80/UDP", `spec: {podSelector: {}}`},
	{"deny all egress", "y/a x/a 80/TCP", "x/a y/a 80/TCP", `spec: {podSelector: {}, policyTypes: [Egress]}`},
	{"deny all both ways", "y/a y/b 80/TCP", "x/a x/b 80/TCP", `spec: {podSelector: {}, policyTypes: [Ingress, Egress]}`},
	{"deny one pod", "y/a x/b 80/TCP", "y/a x/a 80/TCP", `spec: {podSelector: {matchLabels: {pod: a}}}`},
	{"allow all ingress", "z/c x/a 81/UDP", "", `spec: {podSelector: {}, ingress: [{}]}`},
	{"allow all egress", "x/a outside 80/TCP", "", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}`},
	{"allow from the namespace's own pods", "x/b x/a 80/TCP", "y/b x/a 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`},
	{"allow from one app", "x/b x/a 80/TCP", "x/c x/a 80/TCP", `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`},
	{"allow from all namespaces", "z/a x/a 80/TCP", "", `spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`},
	{"allow from one namespace", "y/a x/a 80/TCP", "z/a x/a 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}`},
	{"allow from a namespace by name", "z/a x/a 80/TCP", "y/a x/a 80/TCP",
		`spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}]}`},
	{"pods and namespaces together", "y/b x/a 80/TCP", "y/a x/a 80/TCP",
		`spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}, podSelector: {matchLabels: {pod: b}}}]}]}`},
	{"pods or namespaces", "x/b x/a 80/TCP", "z/b x/a 80/TCP",
		`spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}, {podSelector: {matchLabels: {pod: b}}}]}]}`},
	{"allow one port", "y/a x/a 80/TCP", "y/a x/a 81/TCP", `spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}`},
	{"a port is TCP unless it says else", "y/a x/a 80/TCP", "y/a x/a 80/UDP", `spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}`},
	{"allow a protocol", "y/a x/a 81/UDP", "y/a x/a 81/TCP", `spec: {podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}`},
	{"allow a range of ports", "y/a x/a 81/TCP", "y/a x/a 81/UDP", `spec: {podSelector: {}, ingress: [{ports: [{port: 79, endPort: 82}]}]}`},
	{"a range ends where it ends", "y/a x/a 80/TCP", "y/a x/a 81/TCP", `spec: {podSelector: {}, ingress: [{ports: [{port: 70, endPort: 80}]}]}`},
	{"several ports", "y/a x/a 81/UDP", "y/a x/a 80/UDP", `spec: {podSelector: {}, ingress: [{ports: [{port: 80}, {port: 81, protocol: UDP}]}]}`},
	{"allow a named port", "y/a x/a 80/TCP", "y/a x/a 81/TCP", `spec: {podSelector: {}, ingress: [{ports: [{port: web}]}]}`},
	{"a name means another port for UDP", "y/a x/a 81/UDP", "y/a x/a 80/UDP", `spec: {podSelector: {}, ingress: [{ports: [{port: web, protocol: UDP}]}]}`},
	{"a name that nobody has opens nothing", "", "y/a x/a 80/TCP", `spec: {podSelector: {}, ingress: [{ports: [{port: nothing}]}]}`},
	{"peer and port", "y/a x/a 80/TCP", "y/a x/a 81/TCP",
		`spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 80}]}]}`},
	{"two rules add up", "z/a x/a 81/TCP", "z/a x/a 80/TCP", `spec: {podSelector: {}, ingress: [
		{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 80}]}, {from: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: 81}]}]}`},
	{"two policies add up", "z/a x/a 81/TCP", "z/a x/a 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}
---
spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{ports: [{port: 81}]}]}`},
	{"egress to one app", "x/a x/b 80/TCP", "x/a x/c 80/TCP",
		`spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]}`},
	{"egress to one namespace's port", "x/a y/b 81/UDP", "x/a y/b 81/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [
		{to: [{namespaceSelector: {matchLabels: {ns: "y"}}}], ports: [{port: 81, protocol: UDP}]}]}`},
	{"egress to a named port", "x/a y/b 80/TCP", "x/a y/b 81/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: web}]}]}`},
	{"egress to a named port of anybody", "x/a z/c 81/UDP", "x/a z/c 80/UDP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web, protocol: UDP}]}]}`},
	{"egress to DNS only", "x/a y/b 81/UDP", "x/a y/b 80/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 81, protocol: UDP}, {port: 81, protocol: TCP}]}]}`},
	{"egress outside only", "x/a outside 80/TCP", "x/a y/a 80/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: {outside}/32}}]}]}`},
	{"egress outside, IPv6", "x/a outside6 80/TCP", "x/a y/a 80/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "{outside6}/128"}}]}]}`},
	{"egress anywhere but", "x/a y/b 80/TCP", "x/a y/a 80/TCP",
		`spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [{y/a}/32]}}]}]}`},
	{"all of IPv4", "x/a y/a 80/TCP", "x/a y/a6 80/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`},
	{"all of IPv6", "x/a y/a6 80/TCP", "x/a y/a 80/TCP", `spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "::/0"}}]}]}`},
	{"ingress from one address", "y/a x/a 80/TCP", "y/b x/a 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: {y/a}/32}}]}]}`},
	{"an exception of one block is no exception of another", "y/a x/a 80/TCP", "y/a6 x/a6 80/TCP", `spec: {podSelector: {}, ingress: [{from: [
		{ipBlock: {cidr: 10.0.0.0/8, except: [{y/a}/32]}}, {ipBlock: {cidr: {y/a}/32}}]}]}`},
	{"label in a list", "x/c x/a 80/TCP", "x/a x/b 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}}]}]}`},
	{"label not in a list", "x/a x/b 80/TCP", "x/b x/a 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [b, c]}]}}]}]}`},
	{"label exists", "y/a x/a 80/TCP", "", `spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: Exists}]}}]}]}`},
	{"label does not exist", "", "y/a x/a 80/TCP", `spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: DoesNotExist}]}}]}]}`},
	{"both ends must allow", "y/a x/a 80/TCP", "y/b x/a 80/TCP", `spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: "y"}}}]}]}
---
metadata: {namespace: "y"}
spec: {podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress]}`},
	{"a policy for nobody", "y/a x/a 80/TCP", "", `spec: {podSelector: {matchLabels: {pod: nobody}}}`},
}

// sctpRecipes are recipes for SCTP, by packets where the kernel has it.
var sctpRecipes = []recipe{
	{"allow a port of SCTP", "y/a x/a 80/SCTP", "y/a x/a 81/SCTP", `spec: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}`},
	{"a range of SCTP from some", "x/b x/a 81/SCTP", "y/b x/a 81/SCTP",
		`spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80, endPort: 81, protocol: SCTP}]}]}`},
	{"egress to a named port of SCTP", "x/a y/b 80/SCTP", "x/a y/b 81/SCTP",
		`spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: web, protocol: SCTP}]}]}`},
}

// TestRecipes tries the policies that everybody uses.
func TestRecipes(t *testing.T) { try(t, recipes) }

// TestSCTP tries those for SCTP.
func TestSCTP(t *testing.T) { try(t, sctpRecipes) }

func try(t *testing.T, list []recipe) {
	for _, r := range list {
		shared.one(t, r.name, func(t *testing.T) {
			o := shared.holds(t, parse(t, shared.fill(r.spec)))
			for _, c := range []struct {
				text string
				want bool
			}{{r.allow, true}, {r.deny, false}} {
				if c.text == "" {
					continue
				}
				f := shared.flow(t, c.text)
				if got := o.Allowed(f); got != c.want {
					t.Errorf("the judge says %t of %s", got, c.text)
				}
			}
		})
	}
}

// fill puts addresses in the places of names.
func (w *the) fill(text string) string {
	for _, p := range w.places() {
		text = strings.ReplaceAll(text, "{"+p.name+"}", p.v4.String())
		text = strings.ReplaceAll(text, "{"+p.name+"6}", p.v6.String())
	}
	return text
}

// flow reads "x/a y/a 80/TCP"; a 6 behind a name is its IPv6 address, of the other end too.
func (w *the) flow(t *testing.T, text string) netpol.Flow {
	t.Helper()
	words := strings.Fields(text)
	v6 := strings.HasSuffix(words[0], "6") || strings.HasSuffix(words[1], "6")
	f := netpol.Flow{Port: map[string]int32{"80": 80, "81": 81}[words[2][:2]], Protocol: corev1.Protocol(words[2][3:])}
	for _, p := range w.places() {
		addr := p.v4
		if v6 {
			addr = p.v6
		}
		if p.name == strings.TrimSuffix(words[0], "6") {
			f.From = addr
		}
		if p.name == strings.TrimSuffix(words[1], "6") {
			f.To = addr
		}
	}
	if !f.From.IsValid() || !f.To.IsValid() || f.Port == 0 {
		t.Fatalf("no flow %q", text)
	}
	return f
}
