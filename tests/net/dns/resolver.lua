local denied = domains { "denied.example" }

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
    return allow()
  end,
  connect = function() return allow() end,
}
