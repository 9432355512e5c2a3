-- Pcall and error replaced for the others.
-- load: ok
-- call: policy
return function() _G.pcall = function() return true end end
