-- An error in a metamethod whose name must be found from code.
-- load: ok
-- call: policy
return function()
  local t = setmetatable({}, { __add = function(a) return a.x.y end, __unm = function() error(nil) end })
  pcall(function() return -t end)
  return t + t
end
