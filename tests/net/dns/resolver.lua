local denied = domains { "denied.example" }
local counted = domains { "counted.example" }
local derived = domains { "derived.example" }

return {
  name = "resolver",
  dns = function(q)
    if q:under(denied) then return deny "not this one" end
    if q.name == "how.example" then
      if q.transport == "doh" then return resolve { "192.0.2.8" } end
      if q.transport == "tcp" then return resolve { "192.0.2.6" } end
      return resolve { "192.0.2.17" }
    end
    if q.name == "here.example" then return resolve { "127.0.0.1", ttl = 77 } end
    if q:under(counted) and counter("asked", q.name .. q.type):over(5, "1h") then return deny "enough" end
    if q:under(derived) and q.domain ~= "none.example" and q.entropy < 10000 then return deny "what its name says" end
    return allow()
  end,
  connect = function() return allow() end,
}
