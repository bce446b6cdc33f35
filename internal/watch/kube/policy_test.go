package kube

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"kube-router/internal/model"
)

func TestConvertPolicy(t *testing.T) {
	p := ConvertPolicy(decode[networkingv1.NetworkPolicy](t, `
metadata: {name: np, namespace: a, uid: u}
spec:
	podSelector: {matchLabels: {b: "2", a: "1"}, matchExpressions: [{key: a, operator: NotIn, values: [w, v, w]}, {key: a, operator: Exists}]}
	policyTypes: [Ingress, Egress]
	ingress:
	- from:
		- podSelector: {}
		- namespaceSelector: {matchLabels: {team: x}}
		- {podSelector: {matchExpressions: [{key: k, operator: DoesNotExist}]}, namespaceSelector: {}}
		- ipBlock: {cidr: 10.0.0.7/8, except: [10.1.0.0/16, 10.2.0.0/16]}
		ports:
		- {port: 80}
		- {port: http, protocol: UDP}
		- {protocol: SCTP}
		- {port: 8000, endPort: 8010}
		- {}
	egress:
	- {}
`))
	pods := model.Selector{Requirements: []model.Requirement{
		{Key: "a", Op: model.In, Values: []string{"1"}},
		{Key: "a", Op: model.NotIn, Values: []string{"v", "w"}},
		{Key: "a", Op: model.Exists},
		{Key: "b", Op: model.In, Values: []string{"2"}},
	}}
	same(t, &model.Policy{
		Name: model.Name{Namespace: "a", Name: "np"}, UID: "u", Pods: pods,
		Ingress: &model.Rules{Rules: []model.Rule{{
			Peers: []model.PolicyPeer{
				{Pods: &model.Selector{}},
				{Namespaces: &model.Selector{Requirements: []model.Requirement{{Key: "team", Op: model.In, Values: []string{"x"}}}}},
				{Pods: &model.Selector{Requirements: []model.Requirement{{Key: "k", Op: model.DoesNotExist}}}, Namespaces: &model.Selector{}},
				{Block: prefixes("10.0.0.0/8")[0], Except: prefixes("10.1.0.0/16", "10.2.0.0/16")},
			},
			Ports: []model.PolicyPort{
				{Protocol: model.TCP, Port: 80},
				{Protocol: model.UDP, PortName: "http"},
				{Protocol: model.SCTP},
				{Protocol: model.TCP, Port: 8000, EndPort: 8010},
				{Protocol: model.TCP},
			},
		}}},
		Egress: &model.Rules{Rules: []model.Rule{{AnyPeer: true, AnyPort: true}}},
	}, p)
}

// Absent, null and empty mean the same for from, to and ports, and something else for the rules.
func TestConvertPolicyDefaults(t *testing.T) {
	none, any := &model.Rules{}, &model.Rules{Rules: []model.Rule{{AnyPeer: true, AnyPort: true}}}
	for text, want := range map[string][2]*model.Rules{
		`{}`:                         {none, nil},
		`{ingress: []}`:              {none, nil},
		`{ingress: [{}]}`:            {any, nil},
		`{egress: [{}]}`:             {none, any},
		`{egress: []}`:               {none, nil},
		`{policyTypes: []}`:          {none, nil},
		`{policyTypes: [Egress]}`:    {nil, none},
		`{policyTypes: [Ingress]}`:   {none, nil},
		`{policyTypes: [Sideways]}`:  {none, nil},
		`{policyTypes: [Egress, X]}`: {nil, none},
		`{policyTypes: [Ingress], egress: [{}], ingress: [{from: [], ports: []}]}`: {any, nil},
		`{policyTypes: [Ingress], ingress: [{from: null, ports: null}]}`:           {any, nil},
	} {
		t.Run(text, func(t *testing.T) {
			p := ConvertPolicy(decode[networkingv1.NetworkPolicy](t, `{spec: `+text+`}`))
			same(t, want[0], p.Ingress)
			same(t, want[1], p.Egress)
		})
	}
}

// What can't be understood allows nothing: never does a rule grow to every peer or every port.
func TestConvertPolicyFailsClosed(t *testing.T) {
	p := ConvertPolicy(decode[networkingv1.NetworkPolicy](t, `
spec:
	podSelector: {matchExpressions: [{key: a, operator: In}]}
	ingress:
	- from:
		- {}
		- {ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}
		- {ipBlock: {cidr: nonsense}}
		- {ipBlock: {cidr: 10.0.0.0/8, except: [nonsense]}}
		ports:
		- {port: 0}
		- {port: 70000}
		- {port: ""}
		- {port: Not_A_Name}
		- {port: "80"}
		- {endPort: 80}
		- {port: 80, endPort: 79}
		- {port: 80, endPort: 70000}
		- {port: http, endPort: 81}
		- {port: 80, protocol: ICMP}
	- from:
		- {ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8, 10.0.0.0/8, 0.0.0.0/0]}}
		- {podSelector: {matchLabels: {"bad key!": x}}}
		- {namespaceSelector: {matchExpressions: [{key: a, operator: Near, values: [b]}]}}
`))
	same(t, model.Selector{Invalid: true}, p.Pods)
	same(t, []model.Rule{
		{},
		{AnyPort: true, Peers: []model.PolicyPeer{
			{Block: prefixes("10.0.0.0/8")[0], Except: prefixes("10.0.0.0/8")},
			{Pods: &model.Selector{Invalid: true}},
			{Namespaces: &model.Selector{Invalid: true}},
		}},
	}, p.Ingress.Rules)
	sameRemarks(t, []string{
		`spec.podSelector: selects nothing: values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty`,
		`spec.ingress[0].from[0]: allows nothing: neither ipBlock nor a selector that is known here`,
		`spec.ingress[0].from[1]: allows nothing: ipBlock and a selector exclude each other`,
		`spec.ingress[0].from[2].ipBlock.cidr: "nonsense" ignored: not a CIDR; this peer allows nothing`,
		`spec.ingress[0].from[3].ipBlock.except[0]: "nonsense" ignored: not a CIDR; this peer allows nothing`,
		`spec.ingress[0].ports[0]: allows nothing: 0 is not a port from 1 to 65535`,
		`spec.ingress[0].ports[1]: allows nothing: 70000 is not a port from 1 to 65535`,
	}, p.Remarks[:7])
	same(t, 5+10+6, len(p.Remarks))
}

// TestPolicyOfTooManyParts: what comes after the bound allows nothing, and costs nothing.
func TestPolicyOfTooManyParts(t *testing.T) {
	o := decode[networkingv1.NetworkPolicy](t, "metadata: {name: np, namespace: a}\nspec: {podSelector: {}}")
	block := networkingv1.IPBlock{CIDR: "10.0.0.0/8"}
	for i := range mostParts - 1 {
		block.Except = append(block.Except, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255))
	}
	more := block
	more.Except = slices.Repeat(block.Except, 20)
	peers := func(b *networkingv1.IPBlock) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{{IPBlock: b}}
	}
	o.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers(&block)}, {From: peers(&more)}, {}}
	o.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	begun := time.Now()
	p := ConvertPolicy(o)
	if rules := p.Ingress.Rules; len(rules[0].Peers[0].Except) != mostParts-1 || !reflect.DeepEqual(rules[1], model.Rule{}) || !reflect.DeepEqual(rules[2], model.Rule{}) {
		t.Errorf("the first rule has %d exceptions, then %v %v", len(rules[0].Peers[0].Except), rules[1], rules[2])
	}
	sameRemarks(t, []string{"spec.ingress[1]: allows nothing: the policy has more than 10000 parts (blocks, exceptions, ports, selectors with each of their ports)",
		"spec.ingress[2]: allows nothing: the policy has more than 10000 parts (blocks, exceptions, ports, selectors with each of their ports)"}, p.Remarks)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
