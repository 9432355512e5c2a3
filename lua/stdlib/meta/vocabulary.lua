-- SPDX-License-Identifier: Apache-2.0
---@meta
-- Sets, time, counters, modules

---A set of domains, asked with `x:under(set)`: a name is in it when the set has the name or a domain above it. Look-ups
---run in C and do not get slower with the set's size. `#set` is the number of its entries.
---@class moonfence.Domains
local Domains = {}

---Whether a name is in the set, or below one that is.
---@param name string?
---@return boolean
function Domains:has(name) end

---@class moonfence.DomainsOptions
---@field [integer] string Domains: `"example.com"` with all below it, `"*.example.com"` only what is below, `"=example.com"` only itself.
---@field file string? A file in the policy's directory with one such entry a line; `#` begins a comment.
local DomainsOptions = {}

---A set of networks of both families, asked with `c:to(set)`.
---@class moonfence.Networks
local Networks = {}

---Whether an address is in one of the networks.
---@param address string?
---@return boolean
function Networks:has(address) end

---@class moonfence.NetworksOptions
---@field [integer] string Networks `"10.0.0.0/8"` and addresses.
---@field file string? A file in the policy's directory with one a line; `#` begins a comment.
local NetworksOptions = {}

---A set of ports, asked with `c:port_in(set)`.
---@class moonfence.Ports
local Ports = {}

---Whether a port is in the set.
---@param port string?
---@return boolean
function Ports:has(port) end

---@class moonfence.PortsOptions
---@field [integer] integer|string Ports, and ranges `"8000-8999"`.
---@field file string? A file in the policy's directory with one a line; `#` begins a comment.
local PortsOptions = {}

---Make a set of domains. Only while the policy loads: keep it in a `local` outside the hooks.
---@param names string|moonfence.DomainsOptions
---@return moonfence.Domains
function domains(names) end

---Make a set of networks. Only while the policy loads.
---@param networks string|moonfence.NetworksOptions
---@return moonfence.Networks
function networks(networks) end

---Make a set of ports. Only while the policy loads.
---@param ports string|moonfence.PortsOptions
---@return moonfence.Ports
function ports(ports) end

---The time, in the machine's zone; can be read only inside a hook. A decision that asked it is reused only as long as its
---answer cannot have changed: prefer `now:between` and the coarse fields.
---@class moonfence.Now
---@field year integer 2026
---@field month integer 1 to 12
---@field day integer 1 to 31
---@field hour integer 0 to 23
---@field minute integer 0 to 59
---@field second integer 0 to 60
---@field weekday integer 1 (Monday) to 7 (Sunday)
---@field yearday integer 1 to 366
---@field unix integer Seconds since 1970-01-01T00:00:00Z
now = {}

---Whether the time of day lies in `[from, to)`; `now:between("22:00", "06:00")` spans midnight.
---@param from string `"HH:MM"`
---@param to string `"HH:MM"`
---@return boolean
function now:between(from, to) end

---A rate or budget, kept by the runtime and shared by all threads: the only memory that a policy has. A decision that
---asked one is never cached. Windows are `"30s"`, `"5m"`, `"1h"`, `"7d"`; without one it counts since the runtime started.
---@class moonfence.Counter
local Counter = {}

---The policy's counter of this name and key. Only inside a hook.
---@param name string What is counted.
---@param key string|integer|boolean|nil Whose count, such as a process name or a host.
---@return moonfence.Counter
function counter(name, key) end

---Count, and tell whether the sum within the window is now over `limit`.
---@param limit integer
---@param window string?
---@param amount integer? How much to count, 1 by default.
---@return boolean
function Counter:over(limit, window, amount) end

---Count.
---@param amount integer
---@param window string?
function Counter:add(amount, window) end

---The sum within the window, without counting.
---@param window string?
---@return integer
function Counter:sum(window) end

---Load a module of the same pack (`lib/NAME.lua`, or `NAME.lua` beside the policy) or of the standard library
---(`moonfence.NAME`). Only while the policy loads.
---@param name string
---@return any
function require(name) end
