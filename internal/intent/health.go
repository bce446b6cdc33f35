package intent

import "fmt"

// Health is what a cloud's load balancer may ask this node about one Service with externalTrafficPolicy
// Local: whether the node has endpoints of its own. Its key is the port, which the API server gives once.
type Health struct {
	Port      uint16 // spec.healthCheckNodePort
	Namespace string
	Name      string
	Local     int // ready endpoints on this node
}

// Key is the port.
func (h *Health) Key() uint16 { return h.Port }

// String prints "health :31234 default/web local=2".
func (h *Health) String() string {
	return fmt.Sprintf("health :%d %s/%s local=%d", h.Port, h.Namespace, h.Name, h.Local)
}
