-- An address in an error message.
-- load: ok
-- call: ok
-- result: clean
return function()
  local _, m = pcall(function() return {} .. {} end)
  local _, n = pcall(function() return nil + print end)
  local _, o = pcall(string.rep, {}, {})
  return (m .. n .. o):find("0x") and "address leaked" or "clean"
end
