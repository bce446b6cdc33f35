// Package ipvs is the driver of the kernel's IPVS table: virtual servers, their destinations and the timeouts,
// over generic netlink. No ipvsadm is run, and no modprobe.
//
// A virtual server has no place for a name or an owner, but the kernel keeps all 32 bits of its flags and uses
// six. Ours carry a mark in the upper half, so they are told from others' without memory; ipvsadm doesn't show
// it. Virtual servers without the mark are ours too where their address is on our dummy link: there another
// kube-router left them. All others are left alone.
//
// A destination that is removed may keep its connections for a while: it gets weight 0, and the lane is told to
// ask again later. When it is wanted again before that, it simply gets its weight back.
package ipvs
