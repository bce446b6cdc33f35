// Package socket decides whose sockets are served at connect(), before there is a packet: those of the node, and those of pods that
// our CNI plugin told of, but where somebody in the pod must see packets to Services.
package socket

import (
	"kube-router/internal/intent"
	"kube-router/internal/model"
)

// Node is the unit that stands for the node itself.
var Node = model.Ref{Kind: model.KindSettings}

// Space is the network namespace of a unit if its sockets are served; false: they are not, or the unit is gone.
func Space(m *model.Model, u model.Ref) (intent.SocketSpace, bool) {
	if u == Node {
		return intent.SocketSpace{Cookie: m.Settings.Socket.Cookie}, m.Settings.AtSocket() && m.Settings.Socket.Cookie != 0
	}
	a := m.Attached[u.Name]
	if a == nil || Why(m, a) != "" {
		return intent.SocketSpace{}, false
	}
	return intent.SocketSpace{Cookie: a.Cookie, Pod: a.Pod.String()}, true
}

// Why tells why the sockets of an attached pod are not served; empty: they are.
func Why(m *model.Model, a *model.Attachment) string {
	s := &m.Settings
	switch {
	case !s.AtSocket():
		return "--socket-lb is off, or this node can't"
	case !s.AtPodSockets():
		return "--socket-lb serves the node alone"
	case a.Cookie == 0:
		return "the pod was started by an older kube-router-cni"
	case a.Cookie == s.Socket.Cookie:
		return "it is the node's own network namespace"
	}
	pod := m.Pods[a.Pod]
	if pod == nil || a.UID != "" && pod.UID != "" && a.UID != pod.UID {
		return "the pod has not been read from the API server yet" // nor of its annotations
	}
	namespace := m.Namespaces[a.Pod.Namespace]
	switch {
	case pod.AtSocket != nil && *pod.AtSocket:
		return ""
	case pod.AtSocket != nil:
		return "annotation kube-router.io/socket-lb of the pod"
	case namespace == nil:
		return "the namespace has not been read from the API server yet"
	case namespace.AtSocket != nil && !*namespace.AtSocket:
		return "annotation kube-router.io/socket-lb of the namespace"
	case pod.Packets != "":
		return pod.Packets
	}
	return ""
}

// Remarks tells what the node's owner asked for and doesn't get.
func Remarks(m *model.Model) []model.Remark {
	s := &m.Settings
	if !s.Proxy || s.Socket.Unable == "" || s.Socket.Mode == model.SocketAuto || s.Socket.Mode == model.SocketOff {
		return nil
	}
	return []model.Remark{{
		Object:  model.Ref{Kind: model.KindNode, Name: model.Name{Name: s.Node}},
		Message: "--socket-lb=" + string(s.Socket.Mode) + " does nothing here, Services are served by packets alone: " + s.Socket.Unable,
	}}
}
