-- Modules by path.
-- load: policy
return require("../../../../etc/passwd")
