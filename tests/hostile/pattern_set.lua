-- A set of tens of thousands of characters, tried on each.
-- load: ok
-- call: steps|time|limit
return function()
  local set = "[" .. ("b"):rep(60000) .. "]"
  return ("a"):rep(60000):find(set)
end
