-- The bench's policy: allow the server's names, and nothing else.
return {
  name = "bench",
  connect = function(c)
    if c:under "server.example" and c.port >= 7000 then return allow() end
    if c:under "vendor.example" then return allow() end
  end,
  sni = function(s)
    if s:under "vendor.example" and s:matches_dns() then return allow() end
    return deny "a name that does not belong here"
  end,
}
