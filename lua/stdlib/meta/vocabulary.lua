-- SPDX-License-Identifier: Apache-2.0
---@meta
-- Sets, time and counters: made while a policy loads, asked in hooks

---A set of domains, asked with `x:under(set)`: a name is in it when the set has the name or a domain above it. Look-ups
---run in C and do not get slower with the set's size.
---@class moonfence.Domains

---@class moonfence.DomainsOptions
---@field [integer] string Domains.
---@field file string? A file in the policy's directory: one domain a line, `#` begins a comment.
local DomainsOptions = {}

---A set of networks of both families, asked with `c:to(set)`.
---@class moonfence.Networks

---@class moonfence.NetworksOptions
---@field [integer] string Networks `"10.0.0.0/8"` and addresses.
---@field file string? A file in the policy's directory: one network a line, `#` begins a comment.
local NetworksOptions = {}

---Make a set of domains. Only while the policy loads: keep it in a `local` outside the hooks.
---@param names moonfence.DomainsOptions
---@return moonfence.Domains
function domains(names) end

---Make a set of networks. Only while the policy loads.
---@param networks moonfence.NetworksOptions
---@return moonfence.Networks
function networks(networks) end

---The time of day, as the machine's zone has it. A decision that asked it is reused only until its answer would change.
---@class moonfence.Now
now = {}

---Whether the time lies in `[from, to)`; `now:between("22:00", "06:00")` spans midnight.
---@param from string `"HH:MM"`
---@param to string `"HH:MM"`
---@return boolean
function now:between(from, to) end

---A rate or budget, kept by the runtime. The only memory that a policy has; a decision that asked one is never cached.
---@class moonfence.Counter
local Counter = {}

---The counter of this name and key.
---@param name string What is counted.
---@param key string|integer|nil Whose count, such as a process name or a host.
---@return moonfence.Counter
function counter(name, key) end

---Count one, and tell whether more than `limit` were counted within `window`.
---@param limit integer
---@param window string `"10s"`, `"1m"`, `"1h"`.
---@return boolean
function Counter:over(limit, window) end

---Load a module of the same pack (`lib/NAME.lua`) or of the standard library (`moonfence.NAME`).
---@param name string
---@return any
function require(name) end
