-- SPDX-License-Identifier: Apache-2.0
-- moonfence.nets - networks with names
--
--   local nets = require "moonfence.nets"
--   if c:to(nets.metadata) then return deny "cloud metadata" end
--
-- c:to_private() is the wide question (everything that is not globally reachable unicast, embedded IPv4 included);
-- these sets are for policies that want to tell the parts apart. Source: IANA's special-purpose address registries.

local M = {}

-- Where clouds tell a virtual machine its credentials: the common link-local address and its IPv6 and vendor forms.
M.metadata = networks {
  "169.254.169.254", -- most clouds
  "169.254.170.2", -- task credentials of one of them
  "fd00:ec2::254", -- the same over IPv6
  "fd20:ce::254",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
}

M.private = networks { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7" } -- RFC 1918, RFC 4193
M.loopback = networks { "127.0.0.0/8", "::1" }
M.link_local = networks { "169.254.0.0/16", "fe80::/10" }
M.shared = networks { "100.64.0.0/10" } -- carrier-grade NAT, RFC 6598
M.multicast = networks { "224.0.0.0/4", "ff00::/8" }
M.documentation = networks { "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20" }
M.benchmarking = networks { "198.18.0.0/15", "2001:2::/48" }
M.any = networks { "0.0.0.0/0", "::/0" }

return M
