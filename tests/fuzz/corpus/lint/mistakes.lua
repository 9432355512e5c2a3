local function con(c)
  if c.prot == "x" then return soft_delete() end
  return c:matches_dns() and alow()
end
local x <const>, y = 1, 2
goto done
::done::
glob = 3
return { name = "x",
  dns = function(q)
    local r = q.nmae or q.process.nam or q.session.labels.z
    if q:unde "x" then return soft_delete { hash = true } end
    for i, v in ipairs(r) do print(i, v.foo, glob, self) end
    return dney("x" .. y)
  end,
  connect = con, sni = function(s) local s = {} return s.foo end,
}
